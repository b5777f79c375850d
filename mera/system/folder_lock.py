"""One process at a time works in a folder."""

import contextlib
import errno
import fcntl
import os
import shutil
import socket
import weakref
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mera.system.errors import UserError

NAME = ".lock"
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
"""Of a file system that does not know flock."""
Identity = tuple[int, int, int]
"""Process, device and inode of a lock file."""


@dataclass(slots=True)
class _Held:
    """A lock of this process. All FolderLocks of one folder share it: a process does not refuse itself."""

    descriptor: int
    folder: Path
    made: bool
    """whether the folder was made for the lock; then it is removed where it stays empty"""
    holders: int = 1


_held: dict[Identity, _Held] = {}


class FolderLock:
    """Lets one process at a time work in `folder`, which is made where it is missing, until `release` or its end.

    The system holds the lock (flock on `folder/.lock`), so it is free when the process dies. Raises UserError where
    another process has it, which says which and since when.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self._made = not self.folder.exists()
        while True:
            self.folder.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # renamed or removed between: it is made again
                identity = self._take()
                if identity is not None:
                    break
        self._identity = identity
        self._release = weakref.finalize(self, _release, identity)

    def clear(self) -> None:
        """Remove what an interrupted process left in the folder."""
        for path in self.folder.iterdir():
            if path.name == NAME:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def release(self, folder: Path | None = None) -> None:
        """Let others in, and remove a folder that was made here and is empty. `folder`: its name by now, if another."""
        if folder is not None and self._identity in _held:
            _held[self._identity].folder, _held[self._identity].made = folder, False
        self._release()

    def __enter__(self) -> "FolderLock":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _take(self) -> Identity | None:
        """The lock file, taken; None where it was replaced meanwhile."""
        path = self.folder / NAME
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        identity = _identity(os.fstat(descriptor))
        if identity in _held:
            os.close(descriptor)
            _held[identity].holders += 1
            return identity
        try:
            _lock(descriptor, self.folder)
            if _identity(os.stat(path)) != identity:
                os.close(descriptor)
                return None
        except BaseException:
            os.close(descriptor)
            raise
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} {socket.gethostname()} {datetime.now():%Y-%m-%d %H:%M:%S}".encode(), 0)
        _held[identity] = _Held(descriptor, self.folder, self._made)
        return identity


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(_in_use(descriptor, folder)) from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        if _may_be_alive(os.pread(descriptor, 200, 0).decode(errors="replace")):
            raise UserError(f"{_in_use(descriptor, folder)}; if it has ended, remove {folder / NAME}") from None


def _in_use(descriptor: int, folder: Path) -> str:
    who = os.pread(descriptor, 200, 0).decode(errors="replace").split(" ", 2)
    worker = "another process works there"
    if len(who) == 3:
        worker = f"process {who[0]} on {who[1]} works there since {who[2]}"
    return f"{folder} is in use: {worker}; wait until it has ended, or end it, or choose another --output"


def _may_be_alive(who: str) -> bool:
    """Whether the process that a lock file names may be at work, where the system cannot tell."""
    pid, _, rest = who.partition(" ")
    if not pid.isdigit():
        return False
    if rest.split(" ")[0] != socket.gethostname():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return int(pid) != os.getpid()


def _identity(status: os.stat_result) -> Identity:
    return os.getpid(), status.st_dev, status.st_ino


def _release(identity: Identity) -> None:
    held = _held.get(identity)
    if held is None or identity[0] != os.getpid():
        return  # a fork of the process that has it
    held.holders -= 1
    if held.holders:
        return
    del _held[identity]
    with contextlib.suppress(OSError):
        if _identity(os.stat(held.folder / NAME)) == identity:
            os.unlink(held.folder / NAME)
    os.close(held.descriptor)
    if held.made:
        with contextlib.suppress(OSError):
            held.folder.rmdir()
