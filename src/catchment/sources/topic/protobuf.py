"""Protobuf as documents. Fields stand under the names of the schema; whole numbers, also those of 64 bits, are numbers,
enums their names, bytes base64, times ISO 8601 in UTC, decimals text. A field that is not written has its default, or
is left out where the schema tells the two apart.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import grpc_tools  # noqa: F401 - protoc, which runs in a process of its own: that it is absent is told here
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError

from catchment.errors import RetryableError
from catchment.records import MessageSchema
from catchment.sources.topic.encoded import Undecodable, as_json, decimal_text, in_a_line

_MAIN = "catchment_message.proto"
_PATIENCE_S = 60
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - the zone is said in the text

# What registries take as known, and protoc does not bring.
_KNOWN = {
    "confluent/meta.proto": """
syntax = "proto3";
package confluent;
import "google/protobuf/descriptor.proto";
message Rule { string name = 1; string doc = 2; string expr = 3; string sql = 4; }
message Meta { string doc = 1; map<string, string> params = 2; repeated string tags = 3; repeated Rule rules = 4; }
extend google.protobuf.FileOptions { Meta file_meta = 1088; }
extend google.protobuf.MessageOptions { Meta message_meta = 1088; }
extend google.protobuf.FieldOptions { Meta field_meta = 1088; }
extend google.protobuf.EnumOptions { Meta enum_meta = 1088; }
extend google.protobuf.EnumValueOptions { Meta enum_value_meta = 1088; }
""",
    "confluent/type/decimal.proto": """
syntax = "proto3";
package confluent.type;
message Decimal { bytes value = 1; uint32 precision = 2; int32 scale = 3; }
""",
    "google/type/date.proto": """
syntax = "proto3";
package google.type;
message Date { int32 year = 1; int32 month = 2; int32 day = 3; }
""",
    "google/type/decimal.proto": """
syntax = "proto3";
package google.type;
message Decimal { string value = 1; }
""",
}

_Write = Callable[[Any], Any]


class ProtobufDecoder:
    """Reads messages of the types of one file: which one each is stands before it, or is said by name.

    Compiling takes half a second, in a process of its own: a schema of others cannot harm this one.
    """

    def __init__(self, schema: MessageSchema, *, framed: bool, message: str | None = None) -> None:
        """Without a name and not `framed` all are of the file's first type. Raises Undecodable for a schema that is
        none."""
        self._framed = framed
        self._pool = descriptor_pool.DescriptorPool()
        try:
            for file in compiled(schema):
                self._pool.Add(file)
                self._file = file
        except TypeError as error:
            raise Undecodable(in_a_line(error)) from None
        self._types: dict[tuple[int, ...], tuple[Any, _Write]] = {}
        self._writers = Writers(self._pool)
        self._path = (0,) if message is None else self._path_of(message)
        if not framed:
            self._type(self._path)

    def text(self, message: bytes, begin: int) -> str:
        path = self._path
        if self._framed:
            path, begin = _indexes(message, begin)
        made, write = self._types.get(path) or self._type(path)
        found = made()
        try:
            found.ParseFromString(message[begin:] if begin else message)
        except DecodeError as error:
            why = f"not what its schema says: {in_a_line(error)}"
            raise Undecodable(why) from None
        size = found.ByteSize()
        found.DiscardUnknownFields()
        if found.ByteSize() != size:
            why = "it holds fields that its schema does not have"
            raise Undecodable(why)
        try:
            return as_json(write(found))
        except (OverflowError, ValueError) as error:
            why = f"not what its schema says: {in_a_line(error)}"
            raise Undecodable(why) from None

    def _type(self, path: tuple[int, ...]) -> tuple[Any, _Write]:
        below, name = self._file.message_type, self._file.package
        for index in path:
            if not 0 <= index < len(below):
                why = "it names a type that its schema does not have"
                raise Undecodable(why)
            name = f"{name}.{below[index].name}" if name else below[index].name
            below = below[index].nested_type
        descriptor = self._pool.FindMessageTypeByName(name)
        self._types[path] = found = message_factory.GetMessageClass(descriptor), self._writers.of(descriptor)
        return found

    def _path_of(self, message: str) -> tuple[int, ...]:
        """Where a type stands in the file; with or without its package. Raises Undecodable."""
        paths = dict(_named(self._file.message_type, self._file.package, ()))
        names = [name for name in paths if message in (name, name.removeprefix(f"{self._file.package}."))]
        if not names:
            why = f"there is no message {message}; there are {', '.join(paths)}"
            raise Undecodable(why)
        return paths[names[0]]


def _named(types: Sequence[Any], above: str, path: tuple[int, ...]) -> list[tuple[str, tuple[int, ...]]]:
    found = []
    for place, one in enumerate(types):
        name, here = f"{above}.{one.name}" if above else one.name, (*path, place)
        if not one.options.map_entry:
            found += [(name, here), *_named(one.nested_type, name, here)]
    return found


def _indexes(message: bytes, begin: int) -> tuple[tuple[int, ...], int]:
    """Which type a message is of, as places in the file and in the types around it; and where the message begins."""
    count, place = _zigzag(message, begin)
    if count == 0:
        return (0,), place
    if not 0 < count <= len(message):
        why = "it does not tell which type it is of"
        raise Undecodable(why)
    found = []
    for _ in range(count):
        index, place = _zigzag(message, place)
        found.append(index)
    return tuple(found), place


def _zigzag(message: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    for end in range(place, min(len(message), place + 10)):
        number |= (message[end] & 0x7F) << shift
        shift += 7
        if message[end] < 0x80:
            return (number >> 1) ^ -(number & 1), end + 1
    why = "it does not tell which type it is of"
    raise Undecodable(why)


def compiled(schema: MessageSchema) -> Sequence[descriptor_pb2.FileDescriptorProto]:
    """The files of a schema, each after those it imports; its own comes last. Raises Undecodable.

    Some clients register what protoc makes of a file, in base64, and not every registry turns that into text.
    """
    made = {name: file for name, text in schema.beside if (file := _made(text)) is not None}
    texts = {name: text for name, text in schema.beside if name not in made}
    last = _made(schema.text)
    if last is None and not made:
        return _protoc({**texts, _MAIN: schema.text})
    if last is None:
        why = "it is text and refers to others that are not"
        raise Undecodable(why)
    for name, file in made.items():
        file.name = name
    wanted = {name for file in (*made.values(), last) for name in file.dependency} - made.keys()
    imports = "".join(f"import {json.dumps(name)};" for name in sorted(wanted))
    *others, _ = _protoc({**texts, _MAIN: f'syntax = "proto3";{imports}'})
    return [*others, *made.values(), last]


def _made(text: str) -> descriptor_pb2.FileDescriptorProto | None:
    """What protoc has made; None for a text that is still to be compiled."""
    try:
        content = base64.b64decode(text, validate=True)
        return descriptor_pb2.FileDescriptorProto.FromString(content) if content else None
    except (ValueError, DecodeError):
        return None


def _protoc(files: Mapping[str, str]) -> Sequence[descriptor_pb2.FileDescriptorProto]:
    found = descriptor_pb2.FileDescriptorSet()
    with tempfile.TemporaryDirectory(prefix="catchment-") as name:
        folder = Path(name)
        for place, text in {**_KNOWN, **files}.items():
            inside = PurePosixPath(place)
            if inside.is_absolute() or ".." in inside.parts or "\0" in place:
                why = f"{place!r} is no name of an import"
                raise Undecodable(why)
            (folder / inside).parent.mkdir(parents=True, exist_ok=True)
            (folder / inside).write_text(text, encoding="utf-8")
        made = [f"-I{folder}", "--include_imports", f"--descriptor_set_out={folder / 'made'}", _MAIN]
        protoc = [sys.executable, "-m", "grpc_tools.protoc", *made]
        try:
            ended = subprocess.run(protoc, capture_output=True, text=True, timeout=_PATIENCE_S, check=False, cwd=folder)
        except subprocess.TimeoutExpired:
            message = f"protoc did not end within {_PATIENCE_S} s"
            raise RetryableError(message, hint="is the machine short of memory or of time?") from None
        if ended.returncode < 0:
            message = f"protoc was ended by signal {-ended.returncode}"
            raise RetryableError(message, hint="is the machine short of memory?")
        if ended.returncode:
            raise Undecodable(_refusal(ended.stderr.replace(f"{folder}/", "")))
        found.ParseFromString((folder / "made").read_bytes())
    return found.file


def _refusal(said: str) -> str:
    """What protoc says of a schema, without what it says of itself."""
    lines = [line.replace(f"{_MAIN}:", "line ") for line in said.splitlines() if re.match(r"\S+\.proto:", line)]
    return in_a_line(ValueError("; ".join(lines) or said))


class Writers:
    """What makes values of messages, by their type; made once for each."""

    def __init__(self, pool: descriptor_pool.DescriptorPool) -> None:
        self._pool = pool
        self._known: dict[str, _Write] = {}

    def of(self, descriptor: Descriptor) -> _Write:
        name = descriptor.full_name
        found = _SPECIAL.get(name) or self._known.get(name)
        if found is not None:
            return found
        if name == "google.protobuf.Any":
            return self._any
        fields: list[tuple[FieldDescriptor, _Write]] = []
        # Known before its fields are looked at: a message may hold others of its type.
        self._known[name] = partial(_object, fields=fields, beyond=self._extension)
        fields += [(field, self._field(field)) for field in descriptor.fields]
        return self._known[name]

    def _field(self, field: FieldDescriptor) -> _Write:
        if not field.is_repeated:
            return self._value(field)
        entry = field.message_type
        if entry is not None and entry.GetOptions().map_entry:
            item = self._value(entry.fields_by_name["value"])
            return lambda values: {_key(key): item(values[key]) for key in values}
        each = self._value(field)
        return lambda values: [each(value) for value in values]

    def _value(self, field: FieldDescriptor) -> _Write:
        if field.message_type is not None:
            return self.of(field.message_type)
        if field.enum_type is not None:
            names = {number: value.name for number, value in field.enum_type.values_by_number.items()}
            return lambda number: names.get(number, number)
        return _same

    def _extension(self, message: Any, told: dict[str, Any]) -> None:
        for field, value in message.ListFields():
            if field.is_extension:
                told[f"[{field.full_name}]"] = self._field(field)(value)

    def _any(self, message: Any) -> Any:
        """As JSON has it where the type is one of the schema's, else its bytes."""
        try:
            descriptor = self._pool.FindMessageTypeByName(message.type_url.rpartition("/")[2])
            inside = message_factory.GetMessageClass(descriptor)()
            inside.ParseFromString(message.value)
        except (KeyError, DecodeError):
            return {"@type": message.type_url, "value": message.value}
        told = self.of(descriptor)(inside)
        return {"@type": message.type_url, **(told if isinstance(told, dict) else {"value": told})}


def _object(message: Any, *, fields: Sequence[tuple[FieldDescriptor, _Write]], beyond: Callable[..., None]) -> Any:
    told = {}
    for field, write in fields:
        name = field.name
        if not field.has_presence or message.HasField(name):
            told[name] = write(getattr(message, name))
    if message.DESCRIPTOR.is_extendable:
        beyond(message, told)
    return told


def _same(value: Any) -> Any:
    return value


def _key(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def _instant(message: Any) -> str:
    _check_nanos(message.nanos, negative=False)
    at = (_EPOCH + timedelta(seconds=message.seconds)).isoformat()
    return f"{at}{_fraction(message.nanos)}Z"


def _span(message: Any) -> str:
    """Seconds, as JSON has it: `1.5s`."""
    _check_nanos(message.nanos, negative=True)
    sign = "-" if message.seconds < 0 or message.nanos < 0 else ""
    return f"{sign}{abs(message.seconds)}{_fraction(abs(message.nanos))}s"


def _check_nanos(nanos: int, *, negative: bool) -> None:
    if not (-999_999_999 if negative else 0) <= nanos <= 999_999_999:
        why = f"{nanos} nanoseconds"
        raise ValueError(why)


def _fraction(nanos: int) -> str:
    """In three, six or nine digits."""
    if not nanos:
        return ""
    told = f"{nanos:09}"
    return f".{told[:3] if told.endswith('000000') else told[:6] if told.endswith('000') else told}"


def _struct(message: Any) -> Any:
    return {name: _dynamic(message.fields[name]) for name in message.fields}


def _dynamic(message: Any) -> Any:
    kind = message.WhichOneof("kind")
    if kind in (None, "null_value"):
        return None
    value = getattr(message, kind)
    return {"struct_value": _struct, "list_value": _listed}.get(kind, _same)(value)


def _listed(message: Any) -> Any:
    return [_dynamic(value) for value in message.values]


def _date(message: Any) -> Any:
    """A whole day as ISO text; what lacks year, month or day as its parts."""
    parts = {"year": message.year, "month": message.month, "day": message.day}
    return f"{message.year:04}-{message.month:02}-{message.day:02}" if all(parts.values()) else parts


def _wrapped(message: Any) -> Any:
    return message.value


_SPECIAL: Mapping[str, _Write] = {
    "google.protobuf.Timestamp": _instant,
    "google.protobuf.Duration": _span,
    "google.protobuf.Struct": _struct,
    "google.protobuf.Value": _dynamic,
    "google.protobuf.ListValue": _listed,
    "google.protobuf.FieldMask": lambda message: ",".join(message.paths),
    **{
        f"google.protobuf.{kind}Value": _wrapped
        for kind in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
    },
    "google.type.Date": _date,
    "google.type.Decimal": _wrapped,
    "confluent.type.Decimal": lambda one: decimal_text(int.from_bytes(one.value, "big", signed=True), one.scale),
}
