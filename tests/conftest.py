"""What all tests share: the real models' files."""

import os
from pathlib import Path

import pytest

from edge_agent.config_file import load_config, state_dir


@pytest.fixture(scope="session")
def smollm2_path() -> Path:
    """The default model."""
    return _fetched("SmolLM2-135M-Instruct.Q4_1.gguf", name="smollm2-135m-instruct")


@pytest.fixture(scope="session")
def gemma3_path() -> Path:
    """A model with sliding-window attention: a window of 512 tokens in five layers of six."""
    return _fetched("gemma-3-270m-q4_k_m.gguf", name="gemma-3-270m")


def _fetched(file_name: str, *, name: str) -> Path:
    """A model's file, as `make test` fetched it."""
    config = load_config(file=None, environ=os.environ, overrides={})
    folder = Path(config.models.dir) if config.models.dir else state_dir(config, os.environ) / "models"
    path = folder / file_name
    if not path.exists():
        pytest.fail(f"{path} is not here: run `make test`, or `edge-agent models pull {name}`")
    return path
