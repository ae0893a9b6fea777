"""The digest of a model file, for those who do not have it yet: read in pieces, so that it can be given up anywhere."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

from edge_agent.errors import ModelFileError

# 8 MiB: a tenth of a second off an SD card.
PIECE_BYTES = 8 * 1024 * 1024


async def hash_file(path: Path) -> str:
    """SHA-256 of the whole file, read on threads; a cancellation is obeyed after a piece. Raises ModelFileError."""
    digest = hashlib.sha256()
    offset = 0
    while num_bytes := await asyncio.to_thread(_feed, digest, path, offset):
        offset += num_bytes
    return digest.hexdigest()


def _feed(digest: hashlib._Hash, path: Path, offset: int) -> int:
    """Add the piece at `offset`; returns its size, 0 at the end."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            piece = file.read(PIECE_BYTES)
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}") from error
    digest.update(piece)
    return len(piece)
