"""ClickHouse's HTTP interface over one chDB session, as far as clickhouse-connect asks it. Runs in the environment of
install.sh.

    python front.py PORT FOLDER

One session, one thread: requests wait for each other. What is answered with status 200 is on disk as a server's is.

A server keeps Kafka tables and the views that read them beside the others, and goes on with them when it starts again.
This engine opens no folder that has some: here they lie in a database in memory beside the one that statements name,
and are made again at every start from what was kept of them.
"""

from __future__ import annotations

import gzip
import json
import pathlib
import re
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from chdb import session

# What of an address is the interface's own; the rest are settings of the statement.
OURS = frozenset(
    {
        *("query", "database", "default_format", "query_id", "session_id", "user", "password", "compress", "role"),
        *("decompress", "wait_end_of_query", "buffer_size", "enable_http_compression", "session_timeout"),
        *("session_check", "client_protocol_version"),
    }
)
INSERT = re.compile(rb"\s*(INSERT\s+INTO\s.*?)\s(?:FORMAT\s+(\w+)[ \t]*\r?\n?|(VALUES)\s*(?=\())", re.I | re.S)
FORMAT = re.compile(rb"\bFORMAT\s+(\w+)\s*;?\s*$", re.I)
READS = re.compile(rb"\s*(SELECT|WITH|SHOW|DESCRIBE|EXPLAIN|EXISTS)\b", re.I)
# Kafka tables and the views that read them, by the names that the store gives them.
BESIDE = re.compile(rb"`([^`]+)`\.(`[^`]+__(?:queue|taking)`)")
NAMED = re.compile(rb"database = '([^']+)' AND table = '([^']+__queue)'")
IN_MEMORY = re.compile(r"(?<=`)[^`]+_queues(?=`\.)")
NUMBER = re.compile(r"-?\d+(\.\d+)?")
PIECE = 1 << 22


class Refused(Exception):
    """What a server answers with an exception code."""


class Engine:
    """The one session, and who may use it now."""

    def __init__(self, folder: str) -> None:
        self.session = session.Session(f"{folder}?config-file={pathlib.Path(__file__).parent / 'kafka.xml'}")
        self.one = threading.Lock()
        self.kept = pathlib.Path(folder) / "queues.json"
        self.queues: dict[str, str] = json.loads(self.kept.read_text()) if self.kept.exists() else {}
        for sql in self.queues.values():
            self.queued(sql)

    def queued(self, sql: str) -> None:
        """A statement about Kafka tables and the views that read them."""
        self.session.query(f"CREATE DATABASE IF NOT EXISTS `{IN_MEMORY.search(sql)[0]}` ENGINE = Memory")
        try:
            self.session.query(sql)
        except Exception as error:
            # What is told of a Kafka table that is made, and is there.
            if "Code: 49." not in str(error) or "ENGINE = Kafka" not in sql:
                raise

    def remembered(self, sql: str) -> None:
        """What is to be made again at the next start, and what no longer."""
        made = re.match(r"(CREATE|DROP) .*?(?:NOT EXISTS|IF EXISTS) (`[^`]+`\.`[^`]+`)", sql)
        if made is not None:
            if made.group(1) == "CREATE":
                self.queues.setdefault(made.group(2), sql)
            else:
                self.queues.pop(made.group(2), None)
            draft = self.kept.with_suffix(".draft")
            draft.write_text(json.dumps(self.queues))
            draft.rename(self.kept)

    def ask(self, address: dict[str, str], body: bytes, form: str) -> tuple[bytes, str, int, int]:
        """The answer, its format, and how many rows were read and written."""
        sql = address.get("query", "").encode()
        sql += (b"\n" if sql and body else b"") + body
        sql = BESIDE.sub(rb"`\1_queues`.\2", NAMED.sub(rb"database = '\1_queues' AND table = '\2'", sql))
        with self.one:
            if IN_MEMORY.search(sql[:65536].decode(errors="replace")) and not READS.match(sql):
                self.remembered(sql.decode())
                self.queued(sql.decode())
                return b"", form, 0, 0
            if address.get("database"):
                self.session.query(f"USE `{address['database'].replace('`', '')}`")
            found = INSERT.match(sql[:65536]) if sql[:4000].lstrip()[:6].upper() == b"INSERT" else None
            if found is not None:
                head, kind = found.group(1).decode(), (found.group(2) or b"Values").decode()
                return b"", form, 0, self.insert(head, kind, sql[found.end() :])
            named = FORMAT.search(sql[-200:])
            if named is not None:
                form, sql = named.group(1).decode(), sql[: len(sql) - len(sql[-200:]) + named.start()]
            if int(address.get("readonly", "0")) and not READS.match(sql):
                message = "Code: 164. DB::Exception: Cannot execute query in readonly mode. (READONLY)"
                raise Refused(message)
            given = {name[6:]: value for name, value in address.items() if name.startswith("param_")}
            answer = self.session.query((sql + settings(address, sql)).decode(), form, params=given)
            return answer.bytes(), form, answer.rows_read(), 0

    def insert(self, head: str, form: str, rows: bytes) -> int:
        with self.session.send_insert(head, form) as taken:
            for start in range(0, len(rows), PIECE):
                taken.append(rows[start : start + PIECE])
            written: int = taken.finish().rows_written
            return written


def settings(address: dict[str, str], sql: bytes) -> bytes:
    """Settings of the address, behind a statement that can have some."""
    if not re.match(rb"\s*(SELECT|WITH)\b", sql, re.I) or re.search(rb"\bSETTINGS\b", sql, re.I):
        return b""
    own = {name: value for name, value in address.items() if name not in OURS and not name.startswith("param_")}
    own.pop("readonly", None)  # a session that can only read could never write again
    said = ", ".join(f"{name}={value if NUMBER.fullmatch(value) else quoted(value)}" for name, value in own.items())
    return f" SETTINGS {said}".encode() if said else b""


def quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def decoded(body: bytes, encoding: str) -> bytes:
    if encoding == "gzip":
        return gzip.decompress(body)
    if encoding == "zstd":
        import zstandard

        reader = zstandard.ZstdDecompressor().stream_reader(body, read_across_frames=True)
        return bytes(reader.read())
    if encoding == "lz4":
        return unframed(body)
    if encoding:
        message = f"Content-Encoding {encoding}"
        raise Refused(message)
    return body


def unframed(body: bytes) -> bytes:
    """Each block is a frame of its own: all of them are decoded, or rows would vanish with status 200."""
    import lz4.frame

    whole = bytearray()
    while body:
        frame = lz4.frame.LZ4FrameDecompressor()
        whole += frame.decompress(body)
        if not frame.eof:
            message = "truncated lz4 body"
            raise Refused(message)
        body = frame.unused_data or b""
    return bytes(whole)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    engine: Engine

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def answer(self) -> None:
        place = urllib.parse.urlsplit(self.path)
        body = self.body()
        if place.path == "/ping":
            self.reply(200, b"Ok.\n", {})
            return
        address = dict(urllib.parse.parse_qsl(place.query, keep_blank_values=True))
        form = self.headers.get("X-ClickHouse-Format") or address.get("default_format") or "TabSeparated"
        began = time.monotonic()
        try:
            content = decoded(body, self.headers.get("Content-Encoding", ""))
            out, form, read, written = self.engine.ask(address, content, form)
        except Exception as error:
            code = re.search(r"Code: (\d+)", str(error))
            number = code.group(1) if code else "1000"
            status = 404 if number in ("60", "81") else 500
            self.reply(status, f"{error}\n".encode(), {"X-ClickHouse-Exception-Code": number})
            return
        spent = int((time.monotonic() - began) * 1e9)
        told = {"read_rows": str(read), "written_rows": str(written), "elapsed_ns": str(spent)}
        self.reply(200, out, {"X-ClickHouse-Format": form, "X-ClickHouse-Summary": json.dumps(told)})

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        whole = bytearray()
        while size := int(self.rfile.readline().split(b";")[0], 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return bytes(whole)

    def reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        named = {"X-ClickHouse-Server-Display-Name": "chdb", "X-ClickHouse-Timezone": "UTC"}
        for name, value in {**named, **headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not told; errors are in the answers."""


class Front(ThreadingHTTPServer):
    daemon_threads = True


def main() -> None:
    port, folder = int(sys.argv[1]), sys.argv[2]
    Handler.engine = Engine(folder)
    Front(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main()
