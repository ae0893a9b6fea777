"""What all tests share: the real model's file."""

import os
from pathlib import Path

import pytest

from edge_agent.config_file import load_config, state_dir


@pytest.fixture(scope="session")
def smollm2_path() -> Path:
    """The default model, as `make test` fetched it."""
    config = load_config(file=None, environ=os.environ, overrides={})
    folder = Path(config.models.dir) if config.models.dir else state_dir(config, os.environ) / "models"
    path = folder / "SmolLM2-135M-Instruct.Q4_1.gguf"
    if not path.exists():
        pytest.fail(f"{path} is not here: run `make test`, or `edge-agent models pull smollm2-135m-instruct`")
    return path
