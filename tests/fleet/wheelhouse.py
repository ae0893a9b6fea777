"""The wheels that a rollout ships: the project's own, always built anew, and all that it depends on, kept by content.

They are built by the interpreter that runs the tests, so hosts must run the same Python. Whoever calls holds the fleet,
and with it the cache.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

from .program import run

# llama-cpp-python is compiled where pip has not kept its wheel.
BUILD_SECONDS = 1800


def wheelhouse(folder: Path, *, project: Path, cache: Path) -> Path:
    """Fill `folder` with all wheels."""
    folder.mkdir()
    for wheel in _dependencies(project, cache).iterdir():
        shutil.copy(wheel, folder)
    _pip_wheel(folder, "--no-deps", str(project))
    return folder


def _dependencies(project: Path, cache: Path) -> Path:
    made_of = [(project / "pyproject.toml").read_bytes(), sys.version.encode()]
    kept = cache / f"wheels-{hashlib.sha256(b''.join(made_of)).hexdigest()[:12]}"
    if not kept.is_dir():
        unfinished = kept.with_name(f"{kept.name}.unfinished")
        for other in cache.glob("wheels-*"):
            shutil.rmtree(other)
        unfinished.mkdir(parents=True)
        _pip_wheel(unfinished, str(project))
        for wheel in unfinished.glob("edge_agent-*"):
            wheel.unlink()
        unfinished.rename(kept)
    return kept


def _pip_wheel(folder: Path, *arguments: str) -> None:
    prebuilt = os.environ.get("LLAMA_WHEEL")
    options = ["--find-links", prebuilt] if prebuilt else []
    run(sys.executable, "-m", "pip", "wheel", "--wheel-dir", folder, *options, *arguments, seconds=BUILD_SECONDS)
