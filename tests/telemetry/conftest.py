from __future__ import annotations

import shutil

import pytest


@pytest.fixture(scope="session")
def promtool() -> str:
    """Prometheus' own judge of an exposition. It has to be there: a test that is not run proves nothing."""
    path = shutil.which("promtool")
    if path is None:
        pytest.fail("promtool is not on PATH; install it with: apt-get install prometheus")
    return path
