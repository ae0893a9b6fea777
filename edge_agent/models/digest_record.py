"""A file's sha256 as it was last computed, kept beside it, so that start-up need not read gigabytes to state it.

A record counts only while the file has the size and modification time that it was computed at.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Annotated

import msgspec

from edge_agent.errors import ModelFileError
from edge_agent.models.atomic_file import write_atomically

log = logging.getLogger(__name__)

CHUNK_BYTES = 1024 * 1024
MAX_RECORD_BYTES = 4096
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class DigestRecord(msgspec.Struct, frozen=True):
    """What stands in `FILE.digest`."""

    sha256: Sha256
    size_bytes: int
    mtime_ns: int


def record_path(path: Path) -> Path:
    """Where the record of a model file is."""
    return path.with_name(path.name + ".digest")


def remember_digest(path: Path, sha256: str) -> None:
    """Note the digest of the file as it is now."""
    status = path.stat()
    record = DigestRecord(sha256, status.st_size, status.st_mtime_ns)
    write_atomically(record_path(path), msgspec.json.encode(record))


def recorded_digest(path: Path) -> str | None:
    """The digest that was noted, unless the file has changed since or nothing was noted."""
    try:
        with record_path(path).open("rb") as file:
            record = msgspec.json.decode(file.read(MAX_RECORD_BYTES), type=DigestRecord)
        status = path.stat()
    except (OSError, msgspec.DecodeError) as error:
        log.debug("digest of the model file is not known, edge-agent models verify notes it: file=%s %s", path, error)
        return None
    is_unchanged = (record.size_bytes, record.mtime_ns) == (status.st_size, status.st_mtime_ns)
    return record.sha256 if is_unchanged else None


def compute_digest(path: Path) -> str:
    """Read the whole file. Raises ModelFileError."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while data := file.read(CHUNK_BYTES):
                digest.update(data)
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}") from error
    return digest.hexdigest()
