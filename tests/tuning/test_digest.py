from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from edge_agent.errors import ModelFileError
from edge_agent.tuning.digest import PIECE_BYTES, hash_file


@pytest.mark.parametrize("size", [0, 5, PIECE_BYTES, PIECE_BYTES + 1], ids=["empty", "small", "a piece", "two pieces"])
async def test_the_digest_is_of_the_whole_file(tmp_path: Path, size: int) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"x" * size)
    assert await hash_file(path) == hashlib.sha256(b"x" * size).hexdigest()


async def test_a_file_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot be read"):
        await hash_file(tmp_path / "gone.gguf")
