"""Runs a command that must not outlive its parent; started by path, so it imports nothing of ours.

    python -I -S leash.py COMMAND…      in a session of its own, stdin a pipe that the parent never writes to

The pipe ends when the parent does, even by `kill -9`; then the whole group is killed. Linux could do this with
PR_SET_PDEATHSIG, but macOS could not, and that signal comes when the *thread* that forked ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading


def _end_with_parent() -> None:
    while os.read(0, 1024):
        pass
    os.killpg(0, signal.SIGKILL)


def main() -> int:
    """Exit code of the command; 128 + n where signal n ended it."""
    # The group is asked to end as one; the leash stays until the command has.
    signal.signal(signal.SIGTERM, lambda *_: None)
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    code = child.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    os._exit(main())
