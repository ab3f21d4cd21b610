"""Certificates for one run of a server on loopback: an authority of its own, and what it vouches for."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificates:
    """Files in PEM: the authority's certificate, and the server's certificate and key together."""

    authority: Path
    server: Path


def made(folder: Path) -> Certificates:
    """Good for 127.0.0.1 and localhost, for a day."""
    folder.mkdir(parents=True, exist_ok=True)
    names = "subjectAltName=IP:127.0.0.1,DNS:localhost"
    _openssl(folder, "req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=catchment-tests -keyout ca.key -out ca.pem")
    _openssl(folder, "req -newkey rsa:2048 -nodes -subj /CN=127.0.0.1 -keyout server.key -out server.csr")
    (folder / "names").write_text(names)
    signs = "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 1 -extfile names -out server.crt"
    _openssl(folder, signs)
    together = folder / "server.pem"
    together.write_text((folder / "server.key").read_text() + (folder / "server.crt").read_text())
    return Certificates(folder / "ca.pem", together)


def _openssl(folder: Path, words: str) -> None:
    done = subprocess.run(["openssl", *words.split()], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
