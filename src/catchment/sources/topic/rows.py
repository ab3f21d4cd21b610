"""Messages as rows of bronze: whole batches at a time, and one by one only what is out of the ordinary."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catchment.sources.files.cuts import LONGEST_RECORD, not_text
from catchment.sources.files.json_lines import DOCUMENT, Validity
from catchment.sources.files.shape import LONGEST_RAW, OURS
from catchment.sources.topic.loose import not_strict
from catchment.sources.topic.proven import Proof

# What a message says beside its value.
_BESIDE = (
    ("message_key", pa.string()),
    ("message_headers", pa.string()),
    ("message_at", pa.timestamp("us", tz="UTC")),
)

NUMBER = 5  # bytes of a zero and the number of a schema
_LAST = (1 << 31) - 1  # without an end Arrow counts beyond its numbers (https://github.com/apache/arrow/issues/51222)

TOO_LONG = f"a message of more than {LONGEST_RECORD >> 20} MB"


class Maker(Protocol):
    """Makes rows of messages of one partition, with the columns of `schema`."""

    schema: pa.Schema

    def rows(self, messages: pa.RecordBatch, origin: str) -> pa.Table: ...


class Reading(Protocol):
    """Makes text of what messages hold."""

    def read(self, values: pa.Array) -> tuple[pa.Array, dict[int, str]]:
        """A text for each value, null where there is none, and by place why one that is there cannot be read."""


class Values:
    """Values of messages as text, one format for all. What is none is null, and `defects` say why by place."""

    def __init__(self, *, json: bool) -> None:
        self._json = _Json() if json else None

    def read(self, values: pa.Array) -> tuple[pa.Array, dict[int, str]]:
        """A tombstone is null and no defect. JSON is what RFC 8259 says, without blank lines at its end."""
        too_long = np.asarray(pc.fill_null(pc.greater(pc.binary_length(values), LONGEST_RECORD), fill_value=False))
        defects = dict.fromkeys(np.flatnonzero(too_long).tolist(), TOO_LONG)
        wanted = np.asarray(values.is_valid()) & ~too_long
        places = np.flatnonzero(wanted)
        raw = values if wanted.all() else values.filter(pa.array(wanted))
        text, good, reasons = _plain(raw) if self._json is None else self._json.read(raw)
        defects |= {int(places[place]): reason for place, reason in reasons.items()}
        return _spread(text, places[good], len(values)), dict(sorted(defects.items()))


class Numbered:
    """JSON that may begin with the number of its schema, as Confluent's serializers write it: it is taken off.

    No JSON begins with a zero byte.
    """

    def __init__(self) -> None:
        self._values = Values(json=True)

    def read(self, values: pa.Array) -> tuple[pa.Array, dict[int, str]]:
        numbered = pc.starts_with(values, pattern=b"\0")
        if pc.any(numbered).as_py():
            values = pc.if_else(numbered, pc.binary_slice(values, NUMBER, _LAST), values)
        return self._values.read(values)


class Messages:
    """Rows of a topic whose messages are documents, or text: the value, and what stands beside it."""

    def __init__(self, values: Reading, *, documents: bool, tombstones: bool) -> None:
        """`tombstones` are rows without a value, else defects."""
        self.schema = pa.schema([*OURS, (DOCUMENT if documents else "value", pa.string()), *_BESIDE])
        self._values = values
        self._tombstones = tombstones

    def rows(self, messages: pa.RecordBatch, origin: str) -> pa.Table:
        values = messages.column("value")
        text, defects = self._values.read(values)
        if not self._tombstones:
            empty = np.flatnonzero(np.asarray(values.is_null())).tolist()
            defects = dict(sorted({**defects, **dict.fromkeys(empty, "a message without a value")}.items()))
        keys, headers, instants = messages.column("key"), messages.column("headers"), messages.column("at")
        return pa.Table.from_arrays(
            [*ours(messages, origin, defects), text, key_text(keys), header_text(headers), instants], schema=self.schema
        )


def ours(messages: pa.RecordBatch, origin: str, defects: Mapping[int, str]) -> list[pa.Array]:
    """Our columns: where each message was, and of those that are defects, by place, why and what they hold."""
    count, values = messages.num_rows, messages.column("value")
    raws, reasons = [], []
    for place, reason in defects.items():
        raw = values[place].as_py() or b""
        kept = f"{reason}; the first {LONGEST_RAW:,} of {len(raw):,} bytes are kept"
        reasons.append(kept if len(raw) > LONGEST_RAW else reason)
        raws.append(raw[:LONGEST_RAW])
    places = np.fromiter(defects, np.int64, len(defects))
    return [
        pa.repeat(pa.scalar(origin, pa.string()), count),
        messages.column("offset"),
        _spread(pa.array(reasons, pa.string()), places, count),
        _spread(pa.array(raws, pa.binary()), places, count),
    ]


def key_text(keys: pa.Array) -> pa.Array:
    """Keys as text; bytes that are no UTF-8 as `\\xff`."""
    try:
        return keys.cast(pa.string())
    except pa.ArrowInvalid:
        told = [None if key is None else key.decode(errors="backslashreplace") for key in keys.to_pylist()]
        return pa.array(told, pa.string())


def header_text(headers: pa.Array) -> pa.Array:
    """Headers as a JSON object by name, null where there are none.

    Pairs of name and value where a name stands twice; a value that is no UTF-8 stands as `{"base64": …}`.
    """
    count = len(headers)
    lengths = np.asarray(pc.fill_null(pc.list_value_length(headers), fill_value=0))
    if not lengths.any():
        return pa.nulls(count, pa.string())
    flat = headers.flatten()
    names, values = flat.field("name").to_pylist(), flat.field("value").to_pylist()
    ends = np.cumsum(lengths).tolist()
    told: list[str | None] = []
    for length, end in zip(lengths.tolist(), ends, strict=True):
        begin = end - length
        told.append(_object(names[begin:end], values[begin:end]) if length else None)
    return pa.array(told, pa.string())


def _object(names: Sequence[str], values: Sequence[bytes | None]) -> str:
    pairs = list(zip(names, map(_header, values), strict=True))
    found = dict(pairs)
    return json.dumps(found if len(found) == len(pairs) else pairs, ensure_ascii=False)


def _header(value: bytes | None) -> Any:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _plain(raw: pa.Array) -> tuple[pa.Array, Any, dict[int, str]]:
    """Text as it is: good values, which ones they are, and by place why others are none."""
    try:
        return raw.cast(pa.string()), np.ones(len(raw), np.bool_), {}
    except pa.ArrowInvalid:
        told = [(place, not_text(value, "utf-8")) for place, value in enumerate(raw.to_pylist())]
        reasons = {place: reason.replace("the row", "the message") for place, reason in told if reason is not None}
        good = np.array([reason is None for _, reason in told])
        return raw.filter(pa.array(good)).cast(pa.string()), good, reasons


def _as_it_is(raw: pa.Array) -> tuple[pa.Array, Any, dict[int, str]]:
    """Of what is known to be UTF-8, for which a cast would look again."""
    return raw.view(pa.string()), np.ones(len(raw), np.bool_), {}


class _Json:
    """JSON as text. Nearly all is proven in one go, the rest is asked about one by one."""

    def __init__(self) -> None:
        self._proof = Proof()
        self._validity = Validity()

    def read(self, raw: pa.Array) -> tuple[pa.Array, Any, dict[int, str]]:
        """Good values, which ones they are, and by place why others are none."""
        parts = list(self._proof.parts(raw))
        unproven = sum(not is_json for _, is_json in parts)
        if not unproven:
            return _as_it_is(raw)
        if unproven > len(parts) // 4:  # each question takes as long as a thousand answers
            return self._each(raw)
        texts, kept, place = [], [], 0
        reasons: dict[int, str] = {}
        for part, is_json in parts:
            text, good, found = _as_it_is(part) if is_json else self._each(part)
            reasons |= {place + number: reason for number, reason in found.items()}
            texts.append(text)
            kept.append(good)
            place += len(part)
        return pa.concat_arrays(texts), np.concatenate(kept), reasons

    def _each(self, raw: pa.Array) -> tuple[pa.Array, Any, dict[int, str]]:
        text, good, found = self._validity.sort(raw, "utf-8")
        reasons = {place: reason.replace("the row", "the message") for place, reason in found.items()}
        loose = not_strict(text)
        if loose:
            places = np.flatnonzero(good)
            reasons |= {int(places[place]): reason for place, reason in loose.items()}
            good = good.copy()
            good[places[list(loose)]] = False
            text = text.filter(pa.array(np.isin(np.arange(len(text)), list(loose), invert=True)))
        return text, good, reasons


def _spread(values: pa.Array, places: Any, count: int) -> pa.Array:
    """Values at their places among so many, nulls at the others; places ascend."""
    if len(values) == count:
        return values
    if not len(values):
        return pa.nulls(count, values.type)
    index = np.zeros(count, np.int64)
    absent = np.ones(count, np.bool_)
    index[places] = np.arange(len(values))
    absent[places] = False
    return values.take(pa.array(index, mask=absent))
