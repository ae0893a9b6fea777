"""The one door to llama.cpp: its library, its errors, and structures whose fields are checked by name."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt
from llama_cpp import llama_cpp as lib

# llama_cpp is imported in this file alone.
__all__ = ["LlamaError", "Logits", "lib", "set_fields", "use_default_log"]

Logits = npt.NDArray[np.float32]


class LlamaError(Exception):
    """llama.cpp refused a file, a setting or a batch."""


def set_fields(params: Any, **values: object) -> None:
    """Set fields of a ctypes structure; a misspelt one would be taken in silence."""
    fields = {field[0] for field in params._fields_}
    unknown = values.keys() - fields
    if unknown:
        raise LlamaError(f"{type(params).__name__} has no field {', '.join(sorted(unknown))}")
    for name, value in values.items():
        setattr(params, name, value)


def use_default_log() -> None:
    """Let llama.cpp write to standard error itself: a Python callback would be called from its threads."""
    lib.llama_log_set(lib.llama_log_callback(), ctypes.c_void_p(0))
