"""Runs a tap that must not outlive its parent; started by path, so it imports nothing of ours.

    python -I -S singer_leash.py FOLDER COMMAND…      in a session of its own, stdin a pipe that is never written to

FOLDER, which holds the tap's secrets, is removed when the tap ends. The pipe ends when the parent does, even by
`kill -9`; then FOLDER is removed and the whole group killed.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading


def _end_with_parent(folder: str) -> None:
    while os.read(0, 1024):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


def main() -> int:
    """Exit code of the tap; 128 + n where signal n ended it, 127 where it cannot be started."""
    folder, *command = sys.argv[1:]
    # The group is asked to end as one; the leash stays until the tap has.
    signal.signal(signal.SIGTERM, lambda *_: None)
    # Before the tap is there: it could end with its parent in between.
    threading.Thread(target=_end_with_parent, args=(folder,), daemon=True).start()
    try:
        tap = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        return 127
    # Only the tap is to hold the other ends: whoever reads them is to see that it has ended.
    os.close(1)
    os.close(2)
    code = tap.wait()
    shutil.rmtree(folder, ignore_errors=True)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    os._exit(main())
