"""A running file server and patience in milliseconds."""

from __future__ import annotations

from collections.abc import Iterator

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
