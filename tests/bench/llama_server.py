"""Builds llama-server of the very llama.cpp that edge-agent runs: from the source distribution of llama-cpp-python.

Kept in a folder by version, so that only the first run pays (several minutes).
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import tarfile
from pathlib import Path

# Of PyPI: few machines have one.
CMAKE = (sys.executable, "-m", "cmake")
CMAKE_OPTIONS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DLLAMA_CURL=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
)


def llama_server(cache: Path) -> Path:
    """The program, built if it is not there yet. Raises CalledProcessError when that fails; its output is shown."""
    version = importlib.metadata.version("llama-cpp-python")
    folder = cache / f"llama.cpp-{version}"
    program = folder / "build" / "bin" / "llama-server"
    if not program.exists():
        _unpack_source(version, folder)
        _run(*CMAKE, "-S", str(folder), "-B", str(folder / "build"), *CMAKE_OPTIONS)
        _run(*CMAKE, "--build", str(folder / "build"), "--target", "llama-server", "--parallel")
    return program


def _unpack_source(version: str, folder: Path) -> None:
    """llama.cpp lies in vendor/llama.cpp of the distribution; nothing else of it is needed."""
    downloads = folder.with_name(folder.name + ".download")
    _run(
        sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "llama-cpp-python",
        "--dest", str(downloads), f"llama-cpp-python=={version}",
    )  # fmt: skip
    (distribution,) = downloads.glob("*.tar.gz")
    top = f"{distribution.name.removesuffix('.tar.gz')}/vendor/llama.cpp/"
    with tarfile.open(distribution) as archive:
        members = [member for member in archive.getmembers() if member.name.startswith(top)]
        for member in members:
            member.name = member.name.removeprefix(top)
        archive.extractall(folder, members=members, filter="data")


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
