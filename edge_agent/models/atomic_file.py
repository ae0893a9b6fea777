"""Small files that are either the old or the new one, whatever happens while they are written."""

from __future__ import annotations

import os
from pathlib import Path

from edge_agent.errors import ModelError
from edge_agent.models.partial_file import fsync_folder


def write_atomically(path: Path, data: bytes) -> None:
    """Replace the file. Raises ModelError if the folder cannot be written."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        fsync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ModelError(
            f"{path} cannot be written: {error.strerror}; check the folder's owner and free space"
        ) from error
