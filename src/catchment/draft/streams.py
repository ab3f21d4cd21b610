"""Which files belong together: one stream for files of one kind, whatever their dates and numbers."""

from __future__ import annotations

import csv
import glob
import gzip
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

from catchment.errors import ConfigError
from catchment.naming import is_name

# What the drafted source is called: a place where files are put down, as in the shop and the documents.
SOURCE = "drops"

FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".json": "jsonl",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}

# What changes from file to file of one kind: a date, a time, a part's number; `orders-2026-01-01`, `part-00007-orders`.
_NUMBERS_BEFORE = re.compile(r"^(?:(?:part|batch|chunk)?[-_. ]?[0-9][0-9TZ]*[-_. ]+)+", re.IGNORECASE)
_NUMBERS_AFTER = re.compile(r"(?:[-_. ]+(?:part|batch|chunk|v)?[-_]?[0-9][0-9TZ]*)+$", re.IGNORECASE)
_ONLY_NUMBERS = re.compile(r"(?:(?:part|batch|chunk)[-_]?)?[0-9][0-9TZ]*(?:[-_. ]+[0-9TZ]+)*", re.IGNORECASE)

# A folder that changes from day to day: `2026`, `01`, `2026-01-01`, `day=7`.
_NUMBERED_FOLDER = re.compile(r"[0-9][0-9-_.]*|[A-Za-z_]+=.*")

_HEADER_BYTES = 1 << 16


@dataclass(frozen=True)
class DraftStream:
    """Files that will land in one table. `path` is their pattern, absolute; `shown` names them for people."""

    name: str
    path: str
    format: str
    files: tuple[Path, ...]

    @property
    def shown(self) -> str:
        return self.files[0].name if len(self.files) == 1 else Path(self.path).name


@dataclass(frozen=True)
class _Kind:
    """What the name of a file says once its numbers are left out."""

    folder: str  # a pattern
    stem: str  # "" where the name is a number only
    before: bool
    after: bool
    ending: str

    @property
    def pattern(self) -> str:
        name = f"{'*' if self.before else ''}{self.stem}{'*' if self.after else ''}" if self.stem else "*"
        return f"{self.folder}/{name}{self.ending}"


def find_streams(pattern: str) -> tuple[DraftStream, ...]:
    """The files that a pattern matches, or a folder holds, as streams by name.

    Raises ConfigError where nothing is found, or nothing that can be read.
    """
    files = _files(pattern)
    kinds: dict[tuple[str, str, str], list[tuple[Path, _Kind]]] = defaultdict(list)
    for file in files:
        kind = _kind(file)
        kinds[(kind.folder, kind.stem, _unpacked(kind.ending))].append((file, kind))
    found = [stream for members in kinds.values() for stream in _by_header(members)]
    return _named(sorted(found, key=lambda stream: (stream.name, stream.path)))


def left_out(pattern: str, streams: Sequence[DraftStream]) -> tuple[Path, ...]:
    """What the pattern matches and no stream takes: files that tell no format, folders that were not looked into."""
    taken = {file for stream in streams for file in stream.files}
    inside = {folder for file in taken for folder in file.parents}
    return tuple(
        path for path in _matched(pattern) if path not in taken | inside and not path.name.startswith((".", "_"))
    )


def _matched(pattern: str) -> list[Path]:
    path = Path(pattern).expanduser()
    asked = str(path / "**" / "*") if path.is_dir() else str(path)
    return sorted(Path(name).absolute() for name in glob.glob(asked, recursive=True))


def _files(pattern: str) -> list[Path]:
    matched = _matched(pattern)
    files = [file for file in matched if file.is_file() and not file.name.startswith((".", "_"))]
    known = [file for file in files if _format(file) is not None]
    if known:
        return known
    if files:
        message = f"{files[0].name} does not tell its format by its ending"
        raise ConfigError(message, hint=f"files end with {', '.join(FORMATS)}, each also with .gz")
    message = f"no file matches {pattern}"
    raise ConfigError(message, hint="put the pattern into quotes, so that it arrives whole: --from 'data/*.csv'")


def _ending(file: Path) -> str:
    """`.csv` or `.csv.gz`, as it is written."""
    suffixes = file.suffixes
    return "".join(suffixes[-2:]) if suffixes and suffixes[-1].lower() == ".gz" else "".join(suffixes[-1:])


def _format(file: Path) -> str | None:
    return FORMATS.get(_ending(file).lower().removesuffix(".gz"))


def _kind(file: Path) -> _Kind:
    ending = _ending(file)
    stem = file.name.removesuffix(ending)
    parts = ["*" if _NUMBERED_FOLDER.fullmatch(part) else part for part in file.parent.parts[1:]]
    # Only the last folders vary by day; `/data/2024/shop/orders.csv` is a place, not a partition.
    fixed = max((place for place, part in enumerate(parts) if part != "*"), default=-1) + 1
    folder = "/" + "/".join([*file.parent.parts[1 : fixed + 1], *parts[fixed:]]).rstrip("/")
    folder = "" if folder == "/" else folder
    if _ONLY_NUMBERS.fullmatch(stem):
        return _Kind(folder, "", before=False, after=True, ending=ending)
    bare = _NUMBERS_BEFORE.sub("", stem)
    bare_stem = _NUMBERS_AFTER.sub("", bare)
    if not bare_stem:
        return _Kind(folder, stem, before=False, after=False, ending=ending)
    # The sign between name and numbers belongs to the pattern, so that `orders-*` leaves `orders_old.csv` out.
    before = stem[: len(stem) - len(bare)]
    after = bare[len(bare_stem) :]
    kept = f"{before[-1:]}{bare_stem}{after[:1]}"
    return _Kind(folder, kept, before=bool(before), after=bool(after), ending=ending)


def _by_header(members: Sequence[tuple[Path, _Kind]]) -> list[DraftStream]:
    """One stream; files that share less than half of their columns with the first one become streams of their own."""
    groups: list[tuple[frozenset[str], list[tuple[Path, _Kind]]]] = []
    for file, kind in members:
        header = _header(file)
        for known, group in groups:
            if not header or not known or len(header & known) * 2 >= len(header | known):
                group.append((file, kind))
                break
        else:
            groups.append((header, [(file, kind)]))
    if len(groups) == 1:
        return [_of_one_header(groups[0][1])]
    return [
        _stream([file], str(file), replace(kind, stem=file.name.removesuffix(kind.ending)))
        for _, group in groups
        for file, kind in group
    ]


def _of_one_header(members: Sequence[tuple[Path, _Kind]]) -> DraftStream:
    kind = members[0][1]
    if len({kind.ending for _, kind in members}) > 1:
        # Some packed, some not: `*.csv*`.
        kind = replace(kind, ending=f"{_unpacked(kind.ending)}*")
    kind = replace(kind, before=any(k.before for _, k in members), after=any(k.after for _, k in members))
    return _stream([file for file, _ in members], kind.pattern, kind)


def _unpacked(ending: str) -> str:
    return ending[:-3] if ending.lower().endswith(".gz") else ending


def _stream(files: list[Path], pattern: str, kind: _Kind) -> DraftStream:
    folders = [part for part in kind.folder.split("/") if part not in ("", "*")]
    name = _name(kind.stem.strip("-_. ")) or _name(folders[-1] if folders else "") or "rows"
    exact = len(files) == 1 and not kind.after and not kind.before and "*" not in kind.folder
    path = str(files[0]) if exact else pattern
    return DraftStream(name, path, _format(files[0]) or "csv", tuple(files))


def _header(file: Path) -> frozenset[str]:
    """Column names of a CSV file, roughly: enough to tell two kinds of file apart."""
    if _format(file) != "csv":
        return frozenset()
    opener = gzip.open if file.suffix.lower() == ".gz" else open
    with opener(file, "rb") as opened:
        start = opened.read(_HEADER_BYTES)
    first = next(iter(start.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").splitlines()), "")
    sign = max(",;\t|", key=first.count)
    return frozenset(cell.strip().lower() for row in csv.reader([first], delimiter=sign) for cell in row)


def _name(text: str) -> str:
    """A stream's or table's name made of a file's, or "" where nothing is left of it."""
    words = snake_case(text)
    return words if is_name(words) else ""


def snake_case(text: str) -> str:
    """`InvoiceNo`, `Sub-Category`, `Row ID` as names: invoice_no, sub_category, row_id."""
    ascii_text = text.encode("ascii", "ignore").decode() if text.isascii() else _without_accents(text)
    broken = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", ascii_text)
    words = re.sub(r"[^a-z0-9]+", "_", broken.lower()).strip("_")
    return f"n_{words}" if words[:1].isdigit() else words


def _without_accents(text: str) -> str:
    import unicodedata

    text = text.replace("ß", "ss").replace("æ", "ae").replace("ø", "o")
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


def _named(streams: Iterable[DraftStream]) -> tuple[DraftStream, ...]:
    """Names made unique: by the folder, then by counting."""
    taken: set[str] = set()
    named = []
    for stream in streams:
        folder = _name(stream.files[0].parent.name)
        candidates = [stream.name, f"{folder}_{stream.name}" if folder else stream.name]
        candidates += [f"{stream.name}_{count}" for count in range(2, 1000)]
        name = next(candidate for candidate in candidates if candidate not in taken)
        taken.add(name)
        named.append(replace(stream, name=name))
    _refuse_overlap(named)
    return tuple(named)


def _refuse_overlap(streams: Sequence[DraftStream]) -> None:
    """A file must land in one stream only."""
    for stream in streams:
        for other in streams:
            caught = [file for file in other.files if other is not stream and _matches(str(file), stream.path)]
            if caught:
                message = f"{caught[0]} would land twice: in {other.name} and, by {stream.path}, in {stream.name}"
                raise ConfigError(message, hint="put the two kinds of files into folders of their own")


def _matches(file: str, pattern: str) -> bool:
    parts, wanted = file.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(fnmatch(part, want) for part, want in zip(parts, wanted, strict=True))
