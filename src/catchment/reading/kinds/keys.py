"""What every model of keys in catchment.yaml is, and what every stream tells those who know nothing of its source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from catchment.reading.durations import seconds
from catchment.settings import has_references


class Keys(BaseModel):
    """Keys of one mapping: frozen, and nothing that is not declared.

    A check over more than one key raises ValueError(what is wrong, what to write instead).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, validate_by_name=True)

    # Named in the design and not built, so that whoever writes them learns that they do nothing.
    planned: ClassVar[frozenset[str]] = frozenset()

    # Keys that a run never needs, so that references in them are not resolved for it.
    late: ClassVar[frozenset[str]] = frozenset()

    # Keys that hold addresses of servers, which are no secrets; whoever cannot reach one wants to read it.
    addresses: ClassVar[frozenset[str]] = frozenset()

    # A source as it may stand below `sources` in catchment.yaml, for people.
    example: ClassVar[str] = ""


def length(text: str, example: str) -> str:
    """A length of time of at least a second, or a reference to one. Raises ValueError."""
    if not has_references(text) and not seconds(text):
        message = f"`{text[:40]}` is no length of time"
        raise ValueError(message, f"write {example}, for example")
    return text


class StreamKeys(Keys):
    """A stream of any source."""

    def warnings(self) -> Iterable[tuple[str, str, str]]:
        """What is allowed and deserves a word: the key, what about it, what to do instead."""
        return ()

    @property
    def is_whole(self) -> bool:
        """Each load of it is all that there is, so that a key which is not in the newest one was deleted."""
        return False

    @property
    def split(self) -> int:
        """Into how many bronze tables it lands, so that several processes can land it."""
        return 1

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


class ChangesKeys(StreamKeys):
    """A stream whose rows are changes, each a document."""

    @property
    def brings_documents(self) -> bool:
        return True

    @property
    def brings_changes(self) -> bool:
        return True


class SourceKeys(Keys):
    """A source of any type.

    `is_log` says that all its streams land in one table, in the order in which things happened.
    """

    is_log: ClassVar[bool] = False

    # Whether it reads topics of the target's broker, which it is then given as `broker`.
    reads_topics: ClassVar[bool] = False

    # Whether their messages may need schemas of the target's registry, which it is then given as `registry`.
    reads_schemas: ClassVar[bool] = False

    every: Annotated[
        str | None,
        Field(
            description="How often `catchment stream` looks for what is new, such as `5 minutes`: by default every 30"
            " seconds, and logs and topics as often as it commits."
        ),
    ] = None

    @field_validator("every")
    @classmethod
    def _every(cls, text: str | None) -> str | None:
        return None if text is None else length(text, "every: 30s")

    def spared(self, streams: Iterable[str]) -> frozenset[str]:
        """Keys of its own that nobody needs who reads these streams alone: what they refer to may be known to others
        only. The source has to do without them."""
        return frozenset()

    if TYPE_CHECKING:
        type: str
        streams: Mapping[str, StreamKeys]
