"""Which schemas a stream's messages are read with: those of the registry, or one in a file of the project."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, Protocol

from catchment.errors import ConfigError, MissingExtra
from catchment.records import MessageSchema
from catchment.sources.topic.encoded import Bare, Decoder, Encoded, Framed, Registry, Undecodable

Kind = Literal["avro", "protobuf"]

_IMPORT = re.compile(r'\bimport\s+(?:public\s+|weak\s+)?"([^"]+)"\s*;')


class Written(Protocol):
    """What a project says about a topic whose messages need a schema."""

    @property
    def schema_(self) -> str | None: ...
    @property
    def message(self) -> str | None: ...


def encoded(feed: str, kind: Kind, stream: Written, folder: Path, registry: Registry | None) -> Encoded:
    """Raises ConfigError where nothing says how messages are written, MissingExtra where a package is absent."""
    if stream.schema_ is not None:
        try:
            schema = _of_file(feed, kind, folder, stream.schema_)
            return Encoded(Bare(_decoder(kind, schema, framed=False, message=stream.message)))
        except Undecodable as error:
            message = f"{feed}: schema {stream.schema_} cannot be read: {error}"
            hint = f"correct the file, or name another one: schema: {_example(kind)}"
            raise ConfigError(message, hint=hint) from None
    if registry is None:
        message = f"{feed}: nothing says with which schema its messages of {kind} were written"
        hint = f"name the target's registry (registry: {{url: …}}), or a file at the stream: schema: {_example(kind)}"
        raise ConfigError(message, hint=hint)
    _decoder_class(kind)  # an absent package is told before anything is read
    return Encoded(Framed(registry, kind, lambda schema: _decoder(kind, schema, framed=True)))


def _example(kind: Kind) -> str:
    return "schemas/event.avsc" if kind == "avro" else "schemas/event.proto"


def _decoder(kind: Kind, schema: MessageSchema, *, framed: bool, message: str | None = None) -> Decoder:
    made: Decoder
    if kind == "avro":
        made = _decoder_class(kind)(schema)
    else:
        made = _decoder_class(kind)(schema, framed=framed, message=message)
    return made


def _decoder_class(kind: Kind) -> type:
    try:
        if kind == "avro":
            from catchment.sources.topic.avro import AvroDecoder

            return AvroDecoder
        from catchment.sources.topic.protobuf import ProtobufDecoder
    except ModuleNotFoundError as error:
        message = f"cannot read messages of {kind}: package `{error.name}` is not installed"
        raise MissingExtra(message, hint=f"pip install 'catchment[{kind}]'") from error
    return ProtobufDecoder


def _of_file(feed: str, kind: Kind, folder: Path, file: str) -> MessageSchema:
    path = folder / file
    try:
        text = path.read_text(encoding="utf-8")
        beside = _imported(text, [path.parent, folder]) if kind == "protobuf" else {}
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no text in UTF-8"
        message = f"{feed}: schema {file} cannot be read: {why[:1].lower() + why[1:]}"
        raise ConfigError(message, hint="name a file of the project") from None
    return MessageSchema(kind, text, tuple(beside.items()))


def _imported(text: str, folders: list[Path]) -> dict[str, str]:
    """Files that a .proto imports from the project, and those that they import; the rest is left to protoc."""
    found: dict[str, str] = {}
    waiting = _IMPORT.findall(text)
    while waiting:
        name = waiting.pop()
        path = next((folder / name for folder in folders if (folder / name).is_file()), None)
        if path is not None and name not in found:
            found[name] = path.read_text(encoding="utf-8")
            waiting += _IMPORT.findall(found[name])
    return found
