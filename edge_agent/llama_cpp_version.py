"""Which llama-cpp-python is installed, by its package's metadata: nothing is loaded for it. Stands for llama.cpp's."""

from __future__ import annotations

import importlib.metadata


def llama_cpp_version() -> str:
    """Such as `0.3.36`; `missing` where the package is not installed."""
    try:
        return importlib.metadata.version("llama-cpp-python")
    except importlib.metadata.PackageNotFoundError:
        return "missing"
