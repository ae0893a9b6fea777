"""A model with sliding-window attention, for what is different about it."""

import os
from pathlib import Path

import pytest

from edge_agent.config_file import load_config, state_dir


@pytest.fixture(scope="session")
def gemma3_path() -> Path:
    """Gemma 3 270M, as `make test` fetched it: a window of 512 tokens in five layers of six."""
    config = load_config(file=None, environ=os.environ, overrides={})
    folder = Path(config.models.dir) if config.models.dir else state_dir(config, os.environ) / "models"
    path = folder / "gemma-3-270m-q4_k_m.gguf"
    if not path.exists():
        pytest.fail(f"{path} is not here: run `make test`, or `edge-agent models pull gemma-3-270m`")
    return path
