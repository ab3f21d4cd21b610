"""Which file system a folder lies on: locks and shared memory of SQLite's log hold on local disks only."""

from __future__ import annotations

import re
from pathlib import Path

from catchment.errors import ConfigError

_MOUNTS = Path("/proc/self/mountinfo")  # Linux only; elsewhere nothing is refused

_REMOTE = frozenset(
    {
        *("9p", "acfs", "afs", "beegfs", "ceph", "cifs", "davfs", "drvfs", "glusterfs", "gpfs", "lustre"),
        *("ncpfs", "nfs", "nfs4", "ocfs2", "prl_fs", "smb2", "smb3", "smbfs", "vboxsf", "vmhgfs"),
    }
)
# What runs in user space and is known to be local.
_LOCAL_FUSE = frozenset({"fuse.fuse-overlayfs", "fuse.ext2", "fuse.lxcfs", "fuse.mergerfs", "fuseblk"})
_ESCAPED = re.compile(r"\\([0-7]{3})")


def refuse_remote(folder: Path, mounts: Path = _MOUNTS) -> None:
    """Raises ConfigError for a folder, there or not yet, on a file system that other machines share."""
    kind = file_system(folder, mounts)
    if kind is None or not is_remote(kind):
        return
    message = (
        f"topics cannot lie in {folder}: that is on a network file system ({kind}), where the locks that keep writers"
        " apart do not hold and messages would be lost"
    )
    raise ConfigError(message, hint="name a folder on a disk of this machine under `topics` of the target")


def is_remote(kind: str) -> bool:
    """Whether a type of file system is shared between machines, or may be: what runs in user space mostly is."""
    return kind in _REMOTE or (kind.startswith("fuse") and kind not in _LOCAL_FUSE)


def file_system(folder: Path, mounts: Path = _MOUNTS) -> str | None:
    """The type of file system on which a folder lies, or would; None where the system does not tell."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    place = folder.resolve()
    best, kind = -1, None
    for line in lines:
        before, _, after = line.partition(" - ")
        point = Path(_ESCAPED.sub(lambda found: chr(int(found[1], 8)), before.split(" ")[4]))
        # Of two that are mounted over one another the later one counts.
        if place.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), after.split(" ")[0]
    return kind
