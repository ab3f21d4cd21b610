"""Progress objects: what a generation number in a table's commit points to (docs/decisions/0003).

    <lake>/_progress/<layer>.<table>/<shard>/<generation>.json        the state, written once, before the commit
    <lake>/_progress/<layer>.<table>/<shard>/<generation>-….parquet   things seen, in segments: of bronze the files
                                                                      that were read, of silver its loads' figures
    <lake>/_progress/_definitions/<fingerprint>.json                  what tables' rows were made with

An object that no commit names is garbage. Nothing here is ever changed once a commit names it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catchment.errors import Unfenced
from catchment.records import Claim, Leftover, Progress

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from catchment.naming import TableName


def made_anew(folder: Path) -> str:
    """The way out for a table that cannot be trusted."""
    return f"restore the whole lake from a copy, or move {folder} away and run again: it is made anew from its input"


def leftovers(paths: Iterable[Path]) -> tuple[Leftover, ...]:
    """Files with their sizes; those that are gone by now are left out."""
    found = []
    for path in paths:
        with suppress(FileNotFoundError):
            found.append(Leftover(str(path), path.stat().st_size))
    return tuple(found)


def old(found: Iterable[Leftover], since: datetime) -> tuple[Leftover, ...]:
    """Those that nobody has touched since an instant."""
    return tuple(one for one in found if _is_old(one, since))


def remove(found: Iterable[Leftover], since: datetime) -> int:
    """Remove what is still that old; how many bytes went."""
    gone = 0
    for one in found:
        if _is_old(one, since):
            Path(one.path).unlink(missing_ok=True)
            gone += one.bytes
    return gone


def _is_old(one: Leftover, since: datetime) -> bool:
    try:
        return Path(one.path).stat().st_mtime < since.timestamp()
    except FileNotFoundError:
        return False


class ProgressFolder:
    """The progress objects of one shard of one table, on a local file system."""

    def __init__(self, lake: Path, table: TableName, shard: int) -> None:
        self._table = table
        self._shard = shard
        self._folder = lake / f"_progress/{table}/{shard}"

    def _object(self, generation: int) -> Path:
        return self._folder / f"{generation:019d}.json"

    def read(self, generation: int) -> Progress:
        """The state that `generation` points to; generation 0 is an empty table."""
        if generation == 0:
            return Progress()
        text = self._object(generation).read_text(encoding="utf-8", errors="replace")
        try:
            values = json.loads(text)
            for ranges in ("judged", "waiting", "cut_off"):
                values[ranges] = tuple((first, last) for first, last in values.get(ranges, ()))
            values["segments"] = tuple(values["segments"])
            return Progress(**values)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            message = f"the state of {self._table} is damaged: {self._object(generation)} ({error})"
            raise Unfenced(message, hint=self._anew()) from error

    def _anew(self) -> str:
        return made_anew(self._folder.parents[2] / self._table.layer / self._table.name)

    def claim(self, base: int, *, above: int = 0) -> Claim:
        """Take the next number that nobody has taken: exclusive creation decides between processes."""
        self._folder.mkdir(parents=True, exist_ok=True)
        number = max(base, above, self._newest()) + 1
        while True:
            try:
                os.close(os.open(self._object(number), os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            except FileExistsError:
                number += 1
            else:
                return Claim(table=self._table, shard=self._shard, number=number, base=base)

    def _newest(self) -> int:
        # By name, which is padded: a quarter of a glob (25 ms for twenty thousand).
        names = (name for name in os.listdir(self._folder) if name.endswith(".json"))  # noqa: PTH208
        return int(max(names, default="0").removesuffix(".json"))

    def fill(self, claim: Claim, progress: Progress) -> None:
        """Write the state of a claimed generation, whole or not at all."""
        target = self._object(claim.number)
        draft = target.with_suffix(".draft")
        with draft.open("w", encoding="utf-8") as file:
            json.dump(asdict(progress), file, ensure_ascii=False, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)

    def hold(self, segments: Sequence[str]) -> None:
        """Make segments young, so that upkeep lets them be. Raises FileNotFoundError."""
        for name in segments:
            os.utime(self._folder / name)

    def paths(self, segments: Sequence[str]) -> list[str]:
        """Where segments lie."""
        return [str(self._folder / name) for name in segments]

    def seen(self, segments: Sequence[str]) -> pa.Table | None:
        """Everything that the named segments hold."""
        import pyarrow as pa

        if not segments:
            return None
        with self._told_of_segments():
            # Half the time of `read_table`, which takes a file for a data set.
            tables = [self._segment(name).read(use_threads=False) for name in segments]
        return pa.concat_tables(tables, promote_options="default")

    def _segment(self, name: str) -> pq.ParquetFile:
        import pyarrow.parquet as pq

        return pq.ParquetFile(self._folder / name)

    @contextmanager
    def _told_of_segments(self) -> Iterator[None]:
        import pyarrow as pa

        try:
            yield
        except (FileNotFoundError, pa.ArrowException) as error:
            message = f"what {self._table} has seen is damaged or gone: {str(error).partition(chr(10))[0]}"
            raise Unfenced(message, hint=self._anew()) from error

    def add_segment(self, claim: Claim, segments: Sequence[str], added: pa.Table) -> tuple[str, ...]:
        """Keep `added`; the names of all segments after it, each with more rows than all that follow it has.

        So every start reads few of them, seven after a hundred commits of as many rows each, and few rows are written
        twice.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        kept, folded, rows = list(segments), list[str](), added.num_rows
        with self._told_of_segments():
            while kept and (more := self._segment(kept[-1]).metadata.num_rows) <= rows:
                folded.insert(0, kept.pop())
                rows += more
        earlier = self.seen(folded)
        whole = added if earlier is None else pa.concat_tables([earlier, added], promote_options="default")
        name = f"{claim.number:019d}-seen.parquet"
        pq.write_table(whole, self._folder / name, compression="zstd")
        return (*kept, name)


class Definitions:
    """What tables' rows were made with, by fingerprint; so that a difference can be told in words."""

    def __init__(self, lake: Path) -> None:
        self._folder = lake / "_progress" / "_definitions"

    def keep(self, fingerprint: str, definition: Mapping[str, Any]) -> None:
        target = self._folder / f"{fingerprint}.json"
        if target.exists():
            os.utime(target)  # young again: upkeep lets it be
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        draft = target.with_suffix(f".{os.getpid()}.draft")
        draft.write_text(json.dumps(definition, ensure_ascii=False, sort_keys=True, indent=1), encoding="utf-8")
        draft.replace(target)

    def all(self) -> tuple[Leftover, ...]:
        """Every definition that is kept, whether anybody names it or not."""
        return leftovers(self._folder.glob("*.json"))

    def read(self, fingerprint: str) -> Mapping[str, Any] | None:
        target = self._folder / f"{fingerprint}.json"
        if not target.exists():
            return None
        definition: Mapping[str, Any] = json.loads(target.read_text(encoding="utf-8"))
        return definition
