"""A built site on this machine only."""

from __future__ import annotations

import http.server
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

from catchment.errors import ConfigError

_HOST = "127.0.0.1"


class _Pages(http.server.SimpleHTTPRequestHandler):
    """Files, and nothing else: no list of a folder, no word on stderr, no page for another machine's name."""

    server_version = "catchment"
    sys_version = ""

    def send_head(self) -> Any:
        # A page elsewhere could have its own name point here; a browser would then let it read the site.
        host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if host not in (_HOST, "localhost"):
            self.send_error(HTTPStatus.FORBIDDEN)
            return None
        return super().send_head()

    def list_directory(self, path: Any) -> Any:
        self.send_error(HTTPStatus.NOT_FOUND)
        return None

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


def server(folder: Path, port: int | None = None) -> http.server.ThreadingHTTPServer:
    """A server of the folder, on a free port where none is named; `serve_forever` begins it.

    Raises ConfigError where the folder has no site or the port is taken.
    """
    if not (folder / "index.html").is_file():
        message = f"there is no site in {folder}"
        raise ConfigError(message, hint="catchment docs build makes it")
    try:
        return http.server.ThreadingHTTPServer((_HOST, port or 0), partial(_Pages, directory=str(folder)))
    except OSError as error:
        message = f"cannot serve on port {port}: {(error.strerror or str(error)).lower()}"
        raise ConfigError(message, hint="another port, or none for a free one: catchment docs serve") from error


def address(serving: http.server.ThreadingHTTPServer) -> str:
    """Where the site is to be read."""
    return f"http://{_HOST}:{serving.server_address[1]}/"
