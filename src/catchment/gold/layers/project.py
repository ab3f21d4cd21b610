"""The rules over a project: problems for `catchment check`, a stop before `catchment run` publishes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from catchment.errors import Problem, ProjectProblems
from catchment.events import Noticed
from catchment.gold.layers.lint import lint
from catchment.gold.layers.models import Layers, models_of

if TYPE_CHECKING:
    from catchment.gold.compiled import Manifest
    from catchment.interfaces import Tell
    from catchment.recall import Recall

_SHOWN = 20
_PROJECT_FILE = "catchment.yaml"


@dataclass(frozen=True)
class LayerRules:
    """How a project holds the rules; `folder` is where its dbt project lies, as catchment.yaml has it (`gold.dbt`)."""

    folder: str
    layers: Layers = field(default_factory=Layers)
    lint: Literal["error", "warn"] = "error"

    def problems(self, manifest: Manifest, recall: Recall | None = None) -> list[Problem]:
        """What is wrong with the models of a manifest, by file and line; `key` is the rule. `warn` makes warnings."""
        models = models_of(manifest, self.layers, self.folder)
        found = [
            Problem(
                finding.file,
                finding.message,
                line=finding.line,
                key=finding.rule,
                cure=finding.cure,
                severity="warning" if self.lint == "warn" else finding.severity,
            )
            for finding in lint(models, recall)
        ]
        if models and all(model.layer is None for model in models):
            message = f"no model of {self.folder} lies in stg, std or cur, so no layer rule is held"
            cure = "name its folders: layers: {stg: staging, std: intermediate, cur: marts}"
            found.insert(0, Problem(_PROJECT_FILE, message, key="gold.layers", cure=cure, severity="warning"))
        return found

    def hold(self, manifest: Manifest, recall: Recall | None = None, *, step: str, tell: Tell) -> None:
        """Raises ProjectProblems where rules are broken; tells of warnings, of twenty at most."""
        found = [problem for problem in self.problems(manifest, recall) if problem.file != _PROJECT_FILE]
        if recall is not None:
            recall.save(())
        errors = [problem for problem in found if problem.severity == "error"]
        if errors:
            raise ProjectProblems(errors)
        for problem in found[:_SHOWN]:
            tell(Noticed(step=step, kind="layers", message=str(problem)))
        if len(found) > _SHOWN:
            message = f"and {len(found) - _SHOWN} more broken layer rules; catchment check shows them"
            tell(Noticed(step=step, kind="layers", message=message))
