"""A schema registry in memory that speaks Confluent's interface, for tests: what serializers and readers ask for.

Numbers, subjects, versions, references, compatibility (of Avro records, field by field), deletion, basic and bearer
authentication. Run as a program it prints its port.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

_PROMOTED = {
    "int": {"long", "float", "double"},
    "long": {"float", "double"},
    "float": {"double"},
    "string": {"bytes"},
    "bytes": {"string"},
}


class _Refused(Exception):
    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass(frozen=True)
class _Schema:
    kind: str
    text: str
    references: tuple[tuple[str, str, int], ...]

    def told(self) -> dict[str, Any]:
        found: dict[str, Any] = {"schema": self.text}
        if self.kind != "AVRO":
            found["schemaType"] = self.kind
        if self.references:
            found["references"] = [{"name": n, "subject": s, "version": v} for n, s, v in self.references]
        return found


@dataclass
class SchemaRegistryForTests:
    """What it knows; `failures` are statuses that it answers the next questions with, `asked` are all questions."""

    user: tuple[str, str] | None = None
    token: str | None = None
    failures: list[int] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    schemas: dict[int, _Schema] = field(default_factory=dict)
    subjects: dict[str, dict[int, int]] = field(default_factory=dict)
    deleted: set[tuple[str, int]] = field(default_factory=set)
    levels: dict[str | None, str] = field(default_factory=lambda: {None: "BACKWARD"})
    lock: threading.Lock = field(default_factory=threading.Lock)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def register(
        self, subject: str, schema: str, kind: str = "AVRO", references: tuple[tuple[str, str, int], ...] = ()
    ) -> int:
        """The number of a schema."""
        return int(self._registered(subject, _Schema(kind, schema, references))["id"])

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Any:
        routes: list[tuple[str, str, Callable[..., Any]]] = [
            ("GET", r"/schemas/types", lambda: ["AVRO", "PROTOBUF", "JSON"]),
            ("GET", r"/schemas/ids/(\d+)", lambda number: self._schema(int(number)).told()),
            ("GET", r"/schemas/ids/(\d+)/versions", self._versions_of),
            ("GET", r"/subjects", lambda: sorted(name for name in self.subjects if self._living(name))),
            ("GET", r"/subjects/([^/]+)/versions", self._living_or_refused),
            ("GET", r"/subjects/([^/]+)/versions/([^/]+)", lambda s, v: self._version(s, v, "deleted" in query)),
            ("POST", r"/subjects/([^/]+)/versions", lambda subject: self._registered(subject, _read(body))),
            ("POST", r"/subjects/([^/]+)", lambda subject: self._found(subject, _read(body))),
            ("DELETE", r"/subjects/([^/]+)/versions/(\d+)", self._delete),
            ("GET", r"/config", lambda: {"compatibilityLevel": self.levels[None]}),
            ("GET", r"/config/([^/]+)", self._level),
            ("PUT", r"/config/([^/]+)", lambda subject: self._set(subject, body)),
            ("POST", r"/compatibility/subjects/([^/]+)/versions/([^/]+)", lambda s, v: self._fits(s, v, _read(body))),
        ]
        for wanted, pattern, do in routes:
            match = re.fullmatch(pattern, path)
            if wanted == method and match is not None:
                with self.lock:
                    return do(*map(unquote, match.groups()))
        raise _Refused(404, 404, "HTTP 404 Not Found")

    def _schema(self, number: int) -> _Schema:
        if number not in self.schemas:
            raise _Refused(404, 40403, f"Schema {number} not found")
        return self.schemas[number]

    def _versions_of(self, number: str) -> Any:
        return [
            {"subject": subject, "version": version}
            for subject, versions in self.subjects.items()
            for version, found in versions.items()
            if found == int(number)
        ]

    def _living(self, subject: str) -> list[int]:
        return [one for one in self.subjects.get(subject, {}) if (subject, one) not in self.deleted]

    def _living_or_refused(self, subject: str) -> list[int]:
        if not self._living(subject):
            raise _Refused(404, 40401, f"Subject '{subject}' not found.")
        return self._living(subject)

    def _version(self, subject: str, version: str, deleted: bool = False) -> dict[str, Any]:
        there = list(self.subjects.get(subject, {})) if deleted else self._living(subject)
        if not there:
            raise _Refused(404, 40401, f"Subject '{subject}' not found.")
        wanted = there[-1] if version == "latest" else int(version)
        if wanted not in there:
            raise _Refused(404, 40402, f"Version {version} not found.")
        number = self.subjects[subject][wanted]
        return {"subject": subject, "version": wanted, "id": number, **self.schemas[number].told()}

    def _registered(self, subject: str, schema: _Schema) -> dict[str, Any]:
        for name, of, version in schema.references:
            if version not in self.subjects.get(of, {}):
                raise _Refused(422, 42201, f"No schema reference found for subject {of}, version {version} ({name})")
        known = {found: number for number, found in self.schemas.items()}
        for version in self._living(subject):
            if self.schemas[self.subjects[subject][version]] == schema:
                return {"id": self.subjects[subject][version]}
        problems = self._problems(subject, schema)
        if problems:
            words = f"Schema being registered is incompatible with an earlier schema: {'; '.join(problems)}"
            raise _Refused(409, 409, words)
        number = known.get(schema, len(self.schemas) + 1)
        self.schemas[number] = schema
        versions = self.subjects.setdefault(subject, {})
        versions[max(versions, default=0) + 1] = number
        return {"id": number}

    def _problems(self, subject: str, schema: _Schema) -> list[str]:
        """Why the newest version's data cannot be read by a new schema."""
        living = self._living(subject)
        if not living or self.levels.get(subject, self.levels[None]) == "NONE":
            return []
        newest = self.schemas[self.subjects[subject][living[-1]]]
        if newest.kind != schema.kind:
            return [f"it is of type {schema.kind}, not {newest.kind}"]
        return _differences(json.loads(newest.text), json.loads(schema.text)) if schema.kind == "AVRO" else []

    def _found(self, subject: str, schema: _Schema) -> dict[str, Any]:
        if subject not in self.subjects:
            raise _Refused(404, 40401, f"Subject '{subject}' not found.")
        for version in self._living(subject):
            found = self._version(subject, str(version))
            if self.schemas[found["id"]] == schema:
                return found
        raise _Refused(404, 40403, "Schema not found")

    def _delete(self, subject: str, version: str) -> int:
        self._version(subject, version)
        self.deleted.add((subject, int(version)))
        return int(version)

    def _level(self, subject: str) -> dict[str, str]:
        if subject not in self.levels:
            raise _Refused(404, 40408, f"Subject '{subject}' does not have subject-level compatibility configured")
        return {"compatibilityLevel": self.levels[subject]}

    def _set(self, subject: str, body: Any) -> Any:
        self.levels[subject] = body["compatibility"]
        return body

    def _fits(self, subject: str, version: str, schema: _Schema) -> dict[str, bool]:
        self._version(subject, version)
        return {"is_compatible": not self._problems(subject, schema)}


def _read(body: Any) -> _Schema:
    references = tuple((one["name"], one["subject"], one["version"]) for one in body.get("references") or ())
    kind, text = body.get("schemaType") or "AVRO", body["schema"]
    if kind == "AVRO":
        try:
            text = json.dumps(json.loads(text), separators=(",", ":"))
        except ValueError as error:
            raise _Refused(
                422, 42201, f"Either the input schema or one of its references is invalid: {error}"
            ) from None
    return _Schema(kind, text, references)


def _differences(written: Any, reader: Any) -> list[str]:
    """Backward compatibility of Avro, as far as records go."""
    if isinstance(written, str) and isinstance(reader, str):
        fits = written == reader or reader in _PROMOTED.get(written, ())
        return [] if fits else [f"{written} cannot be read as {reader}"]
    if not (
        isinstance(written, dict) and isinstance(reader, dict) and written.get("type") == reader["type"] == "record"
    ):
        return []
    before = {one["name"]: one for one in written["fields"]}
    told = []
    for one in reader["fields"]:
        if one["name"] in before:
            told += _differences(before[one["name"]]["type"], one["type"])
        elif "default" not in one:
            told.append(f"field {one['name']} is new and has no default")
    return told


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry: SchemaRegistryForTests

    def log_message(self, *_: Any) -> None:
        """Says nothing."""

    def do(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        content = self.rfile.read(length)
        url = urlsplit(self.path)
        self.registry.asked.append(f"{self.command} {self.path}")
        try:
            self._let_in()
            if self.registry.failures:
                status = self.registry.failures.pop(0)
                raise _Refused(status, status * 100, "as the test wants it")
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            told = self.registry.answer(self.command, url.path, query, json.loads(content) if content else None)
            self._say(200, told)
        except _Refused as error:
            self._say(error.status, {"error_code": error.code, "message": str(error)})

    do_GET = do_POST = do_PUT = do_DELETE = do

    def _let_in(self) -> None:
        wanted = [f"Bearer {self.registry.token}"] if self.registry.token is not None else []
        if self.registry.user is not None:
            wanted.append(f"Basic {base64.b64encode(':'.join(self.registry.user).encode()).decode()}")
        if wanted and self.headers.get("Authorization") not in wanted:
            raise _Refused(401, 40101, "Unauthorized")

    def _say(self, status: int, told: Any) -> None:
        content = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextlib.contextmanager
def serving(registry: SchemaRegistryForTests | None = None) -> Iterator[SchemaRegistryForTests]:
    """A registry that answers, in a thread."""
    found = registry or SchemaRegistryForTests()
    handler = type("Handler", (_Handler,), {"registry": found})
    server = ThreadingHTTPServer(("127.0.0.1", found.port), handler)
    server.daemon_threads = True
    found.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


if __name__ == "__main__":
    with serving() as running:
        print(running.port, flush=True)  # noqa: T201
        sys.stdin.read()
