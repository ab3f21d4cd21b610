"""A small project whose every text is hostile, run once; and pages as a browser would read them."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

from catchment.site import Site

HOSTILE = """</title></script><script>alert("x")</script><img src=x onerror='alert(1)'> {{ 7 * 7 }} ]]> & "q" 'a'"""
SECRET = "swordfish-of-the-orchard"
HEAD = "pick_id,tree,kilos,picked_at,a note"

_YAML = """\
name: orchard
sources:
  drops:
    type: files
    streams:
      picks: {path: "data/picks/*.csv"}
      trees: {path: "${env:ORCHARD_TREES}/*.jsonl"}
silver:
  picks:
    from: drops.picks
    mode: merge
    latest_by: picked_at
    refine: silver/picks.py
    with: {trees: current}
  trees: {from: drops.trees, mode: merge}
gold: {dbt: gold/}
"""

_PICKS = """\
apiVersion: v3.2.0
kind: DataContract
id: orchard-picks
version: 2.1.0
status: active
domain: fruit
team:
  name: pickers
  members:
    - {username: ada@orchard.example, name: Ada <b>Bold</b>, role: owner}
    - {username: max, role: engineer}
    - {username: eva, role: engineer, dateOut: "2025-01-01"}
description: {purpose: PURPOSE}
schema:
  - name: picks
    description: HOSTILE
    properties:
      - {name: pick_id, logicalType: integer, primaryKey: true, required: true, description: HOSTILE}
      - name: tree
        logicalType: string
        required: true
        classification: restricted
        relationships: [{type: foreignKey, to: trees.tree}]
      - {name: kilos, logicalType: number, physicalType: "decimal(8,2)", logicalTypeOptions: {minimum: 0}}
      - {name: picked_at, logicalType: timestamp, required: true}
      - {name: kind, logicalType: string, transformLogic: made by silver/picks.py}
    quality:
      - type: custom
        engine: catchment
        name: not_too_heavy
        description: HOSTILE
        implementation: {condition: "kilos < 1000"}
      - {type: custom, engine: catchment, name: few_rejects, implementation: {rejectedShare: 0.9}}
slaProperties:
  - {property: freshness, value: 1, unit: d, element: picks.picked_at}
"""

_TREES = """\
apiVersion: v3.2.0
kind: DataContract
id: orchard-trees
version: 1.0.0
status: active
schema:
  - name: trees
    properties:
      - {name: tree, logicalType: string, primaryKey: true, required: true}
      - {name: kind, logicalType: string}
"""

_REFINE = """\
def refine(picks, trees):  # </code></pre><script>alert("x")</script>
    return picks.join(trees.select("tree", "kind"), on="tree", how="left")
"""

_DBT = """\
name: orchard_gold
version: '1.0.0'
config-version: 2
profile: catchment
models:
  orchard_gold:
    stg: {+schema: stg, +materialized: view}
    cur: {+schema: cur, +materialized: table}
"""

_STG = "select pick_id, tree, kind, kilos, picked_at from {{ source('silver', 'picks') }}\n"

_CUR = """\
-- {# </pre><script>alert("x")</script> #}
select
    p.kind,
    '{{ env_var("ORCHARD_SECRET") }}' as mark,
    sum(p.kilos) as kilos
from {{ ref('stg_picks') }} as p
group by p.kind
"""

_YML = """\
version: 2
sources:
  - {name: silver, schema: silver, tables: [{name: picks}]}
models:
  - name: stg_picks
    description: HOSTILE
  - name: yields
    description: HOSTILE
    columns:
      - {name: kind, description: HOSTILE, data_tests: [not_null, {unique: {name: kinds_are_unique}}]}
      - name: kilos
        data_tests:
          - accepted_values:
              name: kilos_are_one
              arguments: {values: [1], quote: false}
              config: {severity: warn}
exposures:
  - name: board
    label: HOSTILE
    type: dashboard
    url: "javascript:alert(1)"
    owner: {name: HOSTILE, email: ada@orchard.example}
    depends_on: [ref('yields')]
  - name: report
    type: notebook
    url: https://reports.example/fruit?a=1&b=2
    owner: {name: Ada}
    depends_on: [ref('yields')]
"""


def write_orchard(folder: Path) -> Path:
    """The project's files; HOSTILE stands wherever somebody may write a text."""
    quoted = '"' + HOSTILE.replace("\\", "\\\\").replace('"', '\\"') + '"'
    in_jinja = quoted.replace("{{ 7 * 7 }}", "(7 * 7)")  # dbt renders descriptions
    files = {
        "catchment.yaml": _YAML,
        "contracts/picks.odcs.yaml": _PICKS.replace("HOSTILE", quoted).replace("PURPOSE", quoted),
        "contracts/trees.odcs.yaml": _TREES,
        "silver/picks.py": _REFINE,
        "gold/dbt_project.yml": _DBT,
        "gold/models/stg/stg_picks.sql": _STG,
        "gold/models/cur/yields.sql": _CUR,
        "gold/models/all.yml": _YML.replace("HOSTILE", in_jinja),
        "data/picks/1.csv": f"{HEAD}\n1,t1,2.5,2026-01-01T10:00:00Z,x\n2,t1,-1,2026-01-01,\n",
        "data/trees/1.jsonl": '{"tree": "t1", "kind": "apple"}\n',
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "gold/macros").mkdir()
    macro = "{% macro generate_schema_name(name, node) -%} {{ name or target.schema }} {%- endmacro %}\n"
    (folder / "gold/macros/schema.sql").write_text(macro, encoding="utf-8")
    return folder


@dataclass
class Read(HTMLParser):
    """A page, parsed: what it links to, what can be linked to, and whether every element is closed."""

    text: str
    links: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    _VOID = frozenset({"meta", "link", "input", "wbr", "br", "img"})

    def __post_init__(self) -> None:
        super().__init__()
        self._open: list[str] = []
        self.feed(self.text)
        self.close()
        self.wrong += [f"<{tag}> is never closed" for tag in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.append((tag, found))
        self.links += [found[name] for name in ("href", "src") if name in found]
        self.ids += [found["id"]] if "id" in found else []
        if len(found) != len(attrs):
            self.wrong.append(f"<{tag}> says something twice")
        if tag not in self._VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self._VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.wrong.append(f"</{tag}> closes something else, at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@dataclass(frozen=True)
class Built:
    """A site that was built, and the project it is of."""

    folder: Path
    site: Site

    @property
    def pages(self) -> dict[str, Read]:
        root = self.site.folder
        return {str(path.relative_to(root)): Read(path.read_text("utf-8")) for path in sorted(root.rglob("*.html"))}

    def words(self, page: str) -> str:
        return " ".join(" ".join(Read((self.site.folder / page).read_text("utf-8")).words).split())
