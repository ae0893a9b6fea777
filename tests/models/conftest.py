"""A running file server and patience in milliseconds; the file of a model with a sliding window."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.models.transfer import DownloadLimits
from tests.models.file_server import FileServer


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as running:
        yield running


@pytest.fixture
def limits() -> DownloadLimits:
    """A server that is silent for 0.3 s has stalled; three attempts in vain are enough."""
    return DownloadLimits(stall_seconds=0.3, max_attempts=3, first_pause_seconds=1.0, max_pause_seconds=10.0)


@pytest.fixture(scope="session")
def gemma3_path(smollm2_path: Path) -> Path:
    """The small model with a sliding window, fetched beside the default one."""
    path = smollm2_path.with_name("gemma-3-270m-q4_k_m.gguf")
    if not path.exists():
        pytest.fail(f"{path} is not here: run `edge-agent models pull gemma-3-270m`")
    return path
