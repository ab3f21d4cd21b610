"""A command that must not outlive us: on a pipe that ends when we do, even by `kill -9`, and never left behind.

    python -I -S leash.py FOLDER COMMAND…      in a session of its own, stdin a pipe that the parent never writes to

When the pipe ends, the whole group is killed. FOLDER, `-` for none, is removed when the command or the parent ends: it
may hold secrets. Linux could do this with PR_SET_PDEATHSIG, but macOS could not, and that signal comes when the
*thread* that forked ends. As a program it is started by its path, so it imports nothing of ours.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

_NO_FOLDER = "-"
_PATIENCE_S = 5.0


def started(
    command: Sequence[str], *, stderr: IO[bytes] | int, within: Path | None = None, remove: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start a command in the folder `within`, its stdout a pipe; `remove` is a folder that goes with it."""
    folder = _NO_FOLDER if remove is None else str(remove)
    return subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, folder, *command],
        cwd=within,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,  # Ctrl-C comes to us alone; we say when it ends
    )


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask the group to end, then make it; only ever the group that we started. Twice is once."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _remove(folder: str) -> None:
    if folder != _NO_FOLDER:
        shutil.rmtree(folder, ignore_errors=True)


def _end_with_parent(folder: str) -> None:
    while os.read(0, 1024):
        pass
    _remove(folder)
    os.killpg(0, signal.SIGKILL)


def main() -> int:
    """Exit code of the command; 128 + n where signal n ended it, 127 where it cannot be started."""
    folder, *command = sys.argv[1:]
    # The group is asked to end as one; the leash stays until the command has.
    signal.signal(signal.SIGTERM, lambda *_: None)
    # Before the command is there: we could end in between.
    threading.Thread(target=_end_with_parent, args=(folder,), daemon=True).start()
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        return 127
    # Only the command is to hold the other ends: whoever reads them is to see that it has ended.
    os.close(1)
    os.close(2)
    code = child.wait()
    _remove(folder)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    os._exit(main())
