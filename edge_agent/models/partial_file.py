"""A model file while it is being written: `NAME.partial` with a lock, a running sha256, and its last validator beside.

Owned by one download. Only `finish` gives the file its real name, and only whole and with the right digest.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from edge_agent.errors import DiskSpaceError, DownloadError, ModelError

log = logging.getLogger(__name__)

# 1 MiB a read: large enough for an SD card, small beside any board's memory.
CHUNK_BYTES = 1024 * 1024
# An address and an entity tag.
MAX_NOTE_BYTES = 64 * 1024
OUT_OF_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


def partial_path(target: Path) -> Path:
    """Where an unfinished download of `target` is."""
    return target.with_name(target.name + ".partial")


def origin_path(target: Path) -> Path:
    """Where it is noted from which address the unfinished download came."""
    return target.with_name(target.name + ".partial.origin")


def staging_folder(target: Path) -> Path:
    """Where wheels lie while the file is taken out of them: a later pull or removal finds what one left there."""
    return target.with_name(target.name + ".wheels")


class Origin(msgspec.Struct, frozen=True):
    """Which address the bytes came from, and the strong entity tag it gave them."""

    url: str
    etag: str | None


class PartialFile:
    """Open `target`'s partial file, keeping what an earlier download left. Use as a context manager.

    Raises DownloadError when another process downloads the same file.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = partial_path(target)
        self._note_path = origin_path(target)
        self._fd = _open_locked(self.path)
        self._hash = hashlib.sha256()
        self.num_bytes = 0
        # Bytes of an earlier attempt are in it: a wrong digest may be theirs.
        self.is_resumed = False
        self._read_existing()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    @property
    def origin(self) -> Origin | None:
        """Where the bytes of an unfinished download came from, if that is known."""
        try:
            with self._note_path.open("rb") as file:
                return msgspec.json.decode(file.read(MAX_NOTE_BYTES), type=Origin)
        except (OSError, msgspec.DecodeError):
            return None

    def remember_origin(self, origin: Origin) -> None:
        """Note where the bytes come from. Raises DiskSpaceError or DownloadError."""
        try:
            self._note_path.write_bytes(msgspec.json.encode(origin))
        except OSError as error:
            raise _write_error(self._note_path, error) from error

    def append(self, data: bytes) -> None:
        """Write all of `data` at the end. Raises DiskSpaceError or DownloadError."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            raise _write_error(self.path, error) from error
        self._hash.update(data)
        self.num_bytes += len(data)

    def restart(self) -> None:
        """Throw away what was written."""
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        self._hash = hashlib.sha256()
        self.num_bytes = 0
        self.is_resumed = False
        self._note_path.unlink(missing_ok=True)

    def discard(self) -> None:
        """Throw away the file itself."""
        self.path.unlink(missing_ok=True)
        self._note_path.unlink(missing_ok=True)

    def finish(self) -> None:
        """Give the file its real name, so that neither a crash nor a power cut can leave half of it there."""
        try:
            os.fsync(self._fd)
            self.path.replace(self.target)
            fsync_folder(self.target.parent)
        except OSError as error:
            raise _write_error(self.path, error) from error
        self._note_path.unlink(missing_ok=True)

    def _read_existing(self) -> None:
        while data := os.read(self._fd, CHUNK_BYTES):
            self._hash.update(data)
            self.num_bytes += len(data)
        self.is_resumed = self.num_bytes > 0


def fsync_folder(folder: Path) -> None:
    """Make a rename in the folder outlast a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _open_locked(path: Path) -> int:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise _write_error(path, error) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Another download may have renamed the file between opening and locking: it is the finished model then.
        if os.fstat(fd).st_ino != path.stat().st_ino:
            raise FileNotFoundError(path)
    except OSError:
        os.close(fd)
        raise DownloadError(f"{path} is being written by another download; wait for it, or end it first") from None
    return fd


def _write_error(path: Path, error: OSError) -> ModelError:
    if error.errno in OUT_OF_SPACE:
        return DiskSpaceError(
            f"the disk is full: {path} cannot be written; make room and pull again, it goes on from there"
        )
    return DownloadError(f"{path} cannot be written: {error.strerror}; check the folder's owner and permissions")
