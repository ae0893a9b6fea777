"""Installs what llama-cpp-python's own server needs beyond llama-cpp-python, apart from everything else.

The server runs with the very llama_cpp that edge-agent's engine runs with; only its web framework is installed here.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

EXTRA = 'extra == "server"'


def python_server_environment(cache: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment to start it in; installs once. Raises CalledProcessError when pip fails; its output is shown."""
    folder = cache / f"llama_cpp.server-{importlib.metadata.version('llama-cpp-python')}"
    if not folder.exists():
        unfinished = folder.with_name(folder.name + ".partial")
        _install(server_requirements(importlib.metadata.requires("llama-cpp-python") or []), unfinished)
        unfinished.rename(folder)
    return {**environ, "PYTHONPATH": str(folder)}


def server_requirements(requirements: list[str]) -> list[str]:
    """Those of the distribution's requirements that its server alone has."""
    return [
        requirement.partition(";")[0].strip() for requirement in requirements if EXTRA in requirement.replace("'", '"')
    ]


def _install(requirements: list[str], folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), *requirements]
    subprocess.run(command, check=True)
