"""What every model of keys in catchment.yaml is, and what every stream tells those who know nothing of its source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict


class Keys(BaseModel):
    """Keys of one mapping: frozen, and nothing that is not declared.

    A check over more than one key raises ValueError(what is wrong, what to write instead).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_by_name=True)

    # Named in the design and not built, so that whoever writes them learns that they do nothing.
    planned: ClassVar[frozenset[str]] = frozenset()

    # A source as it may stand below `sources` in catchment.yaml, for people.
    example: ClassVar[str] = ""


class StreamKeys(Keys):
    """A stream of any source."""

    @property
    def is_whole(self) -> bool:
        """Each load of it is all that there is, so that a key which is not in the newest one was deleted."""
        return False

    @property
    def beside(self) -> tuple[str, ...]:
        """Other streams of its source that it reads as well."""
        return ()

    @property
    def brings_documents(self) -> bool:
        """Its rows are documents, in one column of JSON text, as far as the project tells."""
        return False

    @property
    def brings_changes(self) -> bool:
        """Its rows say what happened to a row outside (`naming.CHANGE_COLUMNS`), in the order in which it did."""
        return False


class SourceKeys(Keys):
    """A source of any type.

    `is_log` says that all its streams land in one table, in the order in which things happened.
    """

    is_log: ClassVar[bool] = False

    # Whether it reads topics of the target's broker, which it is then given as `broker`.
    reads_topics: ClassVar[bool] = False

    if TYPE_CHECKING:
        type: str
        streams: Mapping[str, StreamKeys]
