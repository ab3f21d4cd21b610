"""What a source holds between two reads, so that the next goes on where the last one ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from catchment.errors import RetryableError
from catchment.records import JSON
from catchment.sources.postgres_changes import slots
from catchment.sources.postgres_changes.following import Following
from catchment.sources.postgres_changes.place import Taken
from catchment.sources.postgres_changes.session import Session
from catchment.sources.postgres_changes.tables import ChangesStream, Types


@dataclass(frozen=True)
class Settings:
    """What the project says of a source."""

    name: str
    url: str
    slot: str
    publication: str
    on_gap: Literal["stop", "snapshot"]
    streams: Mapping[str, ChangesStream]


class Held:
    """Connections that stay open. `heard` is the cursor that was acknowledged last, `ended_at` where a read ended."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.types = Types()
        self.following: Following | None = None
        self.followed: Mapping[str, Taken] = {}
        self.heard: Mapping[str, JSON] | None = None
        self.ended_at: Mapping[str, JSON] | None = None
        self._session: Session | None = None

    @property
    def session(self) -> Session:
        if self._session is None or not self._session.is_open:
            self._session = Session(self.settings.url, self.settings.name)
        return self._session

    @property
    def origin(self) -> str:
        return f"postgresql://{self.session.place}?slot={self.settings.slot}"

    def standing(self) -> slots.Standing:
        """How log and slot stand. Connections that broke while nobody read are made anew."""
        kept = self._session is not None
        try:
            return slots.standing(self.session, self.settings.slot)
        except RetryableError:
            if not kept:
                raise
            self.close()
            return slots.standing(self.session, self.settings.slot)

    def drop_link(self) -> None:
        if self.following is not None:
            self.following.link.close()
        self.following = None

    def close(self) -> None:
        self.drop_link()
        if self._session is not None:
            self._session.close()
        self._session, self.ended_at = None, None
