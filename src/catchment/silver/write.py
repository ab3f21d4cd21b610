"""Good rows into the files of a silver table, through its mode: which files go, and which come."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from catchment.errors import DataError
from catchment.interfaces import Engine
from catchment.interfaces import Table as LakeTable
from catchment.naming import IDENTITY, quoted
from catchment.records import DataFile, Scan
from catchment.silver.definition import Table
from catchment.silver.judge import parsed
from catchment.silver.modes import EVERYTHING, Mode, mode_of

_IDENTITY = ", ".join(IDENTITY)

# So many rows are written as one file, whatever they are; and what stays of touched files comes into so few files where
# fresh rows are scattered over all of them.
_FEW_ROWS = 50_000
_MOST_FILES = 8


@dataclass(frozen=True)
class Gone:
    """Rows of the table that go before fresh ones come: those of some identities, and all of some groups."""

    identities: Any | None = None
    groups: Any | None = None


@dataclass(frozen=True)
class Written:
    """Files that belong into the table instead of others; nothing is committed yet."""

    add: Sequence[DataFile]
    remove: Sequence[str] = ()


@dataclass(frozen=True)
class Writing:
    """`present` is None where the table is made anew. `stopping` raises Stopped when asked to."""

    table: Table
    engine: Engine[Any]
    present: LakeTable | None
    stopping: Callable[[], None]

    def write(self, fresh: Any, folder: str, prefix: str, gone: Gone | None = None) -> Written:
        """Rows of touched groups come into a file of their own; what lay beside them stays with its neighbours.

        So a file's bounds stay narrow where keys come in some order, and tomorrow's rows touch few files again.
        Raises DataError where a refine function makes one key several times from one row.
        """
        mode, gone = mode_of(self.table), gone or Gone()
        if mode is None and gone.identities is None:
            return Written(self.engine.write(fresh, folder, prefix))
        fresh_rows = self._count("fresh", {"fresh": fresh})
        keys = self._keys(mode, fresh) if mode is not None and fresh_rows else None
        touched = self._touched(mode, fresh, keys, gone)
        if mode is not None and touched and gone == Gone():
            fresh, fresh_rows, keys, touched = self._unsettled(mode, fresh, fresh_rows, keys, touched)
        parts = self._together(mode, touched, fresh_rows)
        rows, survivors = fresh, None
        if mode is not None:
            keys = self._affected(mode, keys, touched, gone) if parts else keys
            present = self._moved(mode, touched, keys, gone) if parts else self._left(touched, gone)
            rows, survivors = self._reduced(mode, present, fresh, fresh_rows)
        self.stopping()
        files = list(self.engine.write(rows, folder, prefix))
        if survivors is not None and sum(file.rows for file in files) != survivors:
            message = f"silver.{self.table.name}: refine makes one key several times from one row"
            raise DataError(message, hint="add what tells them apart to the key, or leave the others out")
        for part in parts:
            self.stopping()
            files += self.engine.write(self._staying(mode, part, keys, gone), folder, prefix)
        return Written(files, touched)

    def _reduced(self, mode: Mode, present: Any, fresh: Any, fresh_rows: int) -> tuple[Any, int | None]:
        """The rows that shall be there, and how many they are where each survivor names one."""
        frames = {"present": present, "fresh": fresh}
        everything = fresh_rows + self._count("present", frames)
        frames["survivors"], survivors = self._survivors(mode, frames, everything)
        if not mode.counts_survivors:
            return self.engine.query(mode.reduced(), frames), None
        plain = survivors == everything and not mode.own_columns()
        return self.engine.query(parsed(EVERYTHING) if plain else mode.reduced(), frames), survivors

    def _query(self, sql: str, frames: Mapping[str, Any]) -> Any:
        return self.engine.query(parsed(sql), frames)

    def _count(self, name: str, frames: Mapping[str, Any]) -> int:
        counted = self.engine.fetch(parsed(f"SELECT count(*) AS n FROM {name}"), frames)
        return int(counted.column("n")[0].as_py())

    def _keys(self, mode: Mode, fresh: Any) -> Any | None:
        """The groups of fresh rows; None where the table has no row that they could put out, or no groups."""
        if self.present is None or not mode.group or not self.present.scan(hidden=True).files:
            return None
        return self.engine.kept(self.engine.query(mode.groups(), {"fresh": fresh}))

    def _touched(self, mode: Mode | None, fresh: Any, keys: Any | None, gone: Gone) -> list[str]:
        """The files that hold a row which fresh ones may put out, or which goes."""
        if self.present is None:
            return []
        whole = self.present.scan(hidden=True)
        if mode is not None and not mode.group:
            return list(whole.files)
        found = self._holding(whole, gone.identities, IDENTITY)
        if mode is not None:
            if keys is not None:
                scans = [self.present.scan(within=bounds, hidden=True) for bounds in self._bounds(mode, fresh)]
                files = {file for scan in scans for file in scan.files}
                found |= self._holding(replace(whole, files=tuple(sorted(files))), keys, mode.group)
            found |= self._holding(whole, gone.groups, mode.group)
        return sorted(found)

    def _unsettled(
        self, mode: Mode, fresh: Any, fresh_rows: int, keys: Any | None, touched: list[str]
    ) -> tuple[Any, int, Any | None, list[str]]:
        """The same without the fresh rows that leave the table as it is, so that no file is written anew for them."""
        settled = mode.settled()
        if settled is None:
            return fresh, fresh_rows, keys, touched
        frames = {"fresh": fresh, "present": self._files(touched)}
        found = self.engine.kept(self.engine.query(settled, frames))
        count = self._count("found", {"found": found})
        if not count:
            return fresh, fresh_rows, keys, touched
        using = mode.names_a_row
        left = self._query(f"SELECT * FROM fresh ANTI JOIN found USING ({using})", {"fresh": fresh, "found": found})
        left = self.engine.kept(left)
        keys = self._keys(mode, left) if count < fresh_rows else None
        assert self.present is not None
        scan = replace(self.present.scan(hidden=True), files=tuple(touched))
        return left, fresh_rows - count, keys, sorted(self._holding(scan, keys, mode.group))

    def _affected(self, mode: Mode, keys: Any | None, touched: Sequence[str], gone: Gone) -> Any | None:
        """The groups whose rows are reduced anew: those of fresh rows, and those that lose a row."""
        if gone.identities is None:
            return keys
        names = ", ".join(map(quoted, mode.group))
        union = f"SELECT DISTINCT {names} FROM present SEMI JOIN gone USING ({_IDENTITY})"
        frames = {"present": self._files(touched), "gone": gone.identities}
        if keys is not None:
            union, frames["keys"] = f"{union} UNION SELECT {names} FROM keys", keys
        return self.engine.kept(self._query(union, frames))

    def _moved(self, mode: Mode, touched: Sequence[str], keys: Any | None, gone: Gone) -> Any:
        """Rows of touched files that are reduced with the fresh ones."""
        if keys is None:
            return self._files(())
        using = ", ".join(map(quoted, mode.group))
        frames = {"present": self._left(touched, gone), "keys": keys}
        return self.engine.kept(self._query(f"SELECT * FROM present SEMI JOIN keys USING ({using})", frames))

    def _staying(self, mode: Mode | None, files: Sequence[str], keys: Any | None, gone: Gone) -> Any:
        """The others."""
        left = self._left(files, gone)
        if mode is None or keys is None:
            return left
        using = ", ".join(map(quoted, mode.group))
        return self._query(f"SELECT * FROM present ANTI JOIN keys USING ({using})", {"present": left, "keys": keys})

    def _together(self, mode: Mode | None, touched: Sequence[str], fresh_rows: int) -> list[list[str]]:
        """Touched files whose other rows stay together: neighbours by key, as long as they are small.

        None where everything is written as one: all of it is little, or all of it goes.
        """
        if self.present is None or not touched or (mode is not None and not mode.group):
            return []
        wanted = set(touched)
        found = [file for file in self.present.files() if file.path in wanted]
        rows = sum(file.rows for file in found)
        if mode is not None and rows + fresh_rows <= _FEW_ROWS:
            return []
        parts, room = list[list[str]](), 0
        most = max(_FEW_ROWS, fresh_rows, rows // _MOST_FILES)
        for file in sorted(found, key=lambda file: _place(file, () if mode is None else mode.group)):
            if file.rows > room:
                parts.append([])
                room = most
            parts[-1].append(file.path)
            room -= file.rows
        return parts

    def _bounds(self, mode: Mode, fresh: Any) -> list[dict[str, tuple[Any, Any]]]:
        """Where present rows that matter may lie, for each part of the fresh ones."""
        names = list(mode.bounds())
        wanted = [
            f"{sql} AS {quoted(f'{end}_{place}')}"
            for place, bounds in enumerate(mode.bounds().values())
            for end, sql in zip(("low", "high"), bounds, strict=True)
        ]
        parts = parsed(f"SELECT {', '.join(wanted)} FROM ({mode.parted()}) GROUP BY _part")
        found = self.engine.fetch(parts, {"fresh": fresh})
        rows = [{name: _bound(found.column(name)[part]) for name in found.column_names} for part in range(len(found))]
        return [{name: (row[f"low_{place}"], row[f"high_{place}"]) for place, name in enumerate(names)} for row in rows]

    def _holding(self, scan: Scan, wanted: Any | None, columns: Sequence[str]) -> set[str]:
        """Files of the scan in which a row has one of the wanted values."""
        if wanted is None or not scan.files:
            return set()
        using = ", ".join(map(quoted, columns))
        frames = {"present": self.engine.frame(scan, file_column="_file"), "wanted": wanted}
        holding = parsed(f"SELECT DISTINCT _file AS file FROM present SEMI JOIN wanted USING ({using})")
        return set(self.engine.fetch(holding, frames).column("file").to_pylist())

    def _files(self, files: Sequence[str]) -> Any:
        if self.present is None:
            from catchment.silver.rows import silver_schema

            # As a scan: DuckDB hands bounds of a join to Arrow, which knows no instant after the year 9999.
            return self.engine.frame(Scan(files=(), schema=silver_schema(self.table)))
        return self.engine.frame(replace(self.present.scan(hidden=True), files=tuple(files)))

    def _left(self, files: Sequence[str], gone: Gone) -> Any:
        """What some files hold beside what goes."""
        left = self._files(files)
        if gone.identities is not None:
            frames = {"present": left, "gone": gone.identities}
            left = self._query(f"SELECT * FROM present ANTI JOIN gone USING ({_IDENTITY})", frames)
        mode = mode_of(self.table)
        if gone.groups is not None and mode is not None:
            using = ", ".join(map(quoted, mode.group))
            left = self._query(
                f"SELECT * FROM present ANTI JOIN gone USING ({using})", {"present": left, "gone": gone.groups}
            )
        return left

    def _survivors(self, mode: Mode, frames: Mapping[str, Any], everything: int) -> tuple[Any, int]:
        """What names the rows that shall be there, and how many they are."""
        buckets = mode.buckets(everything, self.engine.memory_bytes) if mode.group else 1
        parts = {}
        for bucket in range(buckets):
            self.stopping()
            parts[f"part_{bucket}"] = self.engine.kept(self.engine.query(mode.survivors(bucket, buckets), frames))
        survivors = self._query(" UNION ALL ".join(f"SELECT * FROM {part}" for part in parts), parts)
        return survivors, self._count("survivors", {"survivors": survivors})


def _bound(value: Any) -> Any:
    """A bound as Python has it; None, which bounds nothing, for an instant after the year 9999 or before the first."""
    try:
        return value.as_py()
    except OverflowError:
        return None


def _place(file: DataFile, group: Sequence[str]) -> tuple[bool, Any, str]:
    """Where a file comes in the order of the table's key, as far as its statistics tell."""
    lows = [file.statistics[name][0] for name in group[:1] if name in file.statistics]
    return (not lows or lows[0] is None, lows[0] if lows else None, file.path)
