"""What a tuning record says of the machine: its CPU's model, and the files below `root` that tell it."""

from __future__ import annotations

import re
from pathlib import Path

# 64 KiB: the first CPU's lines stand on the first page; those of a hundred others say the same.
MAX_CPUINFO_BYTES = 64 * 1024
MAX_NAME_CHARACTERS = 200
UNKNOWN_CPU = "unknown"


def cpu_model(root: Path) -> str:
    """`model name` on x86; implementer and part of all kinds of core, and the board's name, on ARM."""
    text = _cpuinfo(root / "proc/cpuinfo")
    names = _values(text, "model name")
    if names:
        return _printable(names[0])
    cores = sorted(set(zip(_values(text, "CPU implementer"), _values(text, "CPU part"), strict=False)))
    parts = [f"{implementer}:{part}" for implementer, part in cores]
    return _printable(" ".join([*_values(text, "Model")[:1], *parts])) or UNKNOWN_CPU


def _cpuinfo(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_CPUINFO_BYTES).decode("utf-8", "replace")
    except OSError:
        # No such file: a system that is not Linux, where every machine is the same one then.
        return ""


def _values(text: str, name: str) -> list[str]:
    return re.findall(rf"^{name}[ \t]*:[ \t]*(.*\S)", text, re.MULTILINE)


def _printable(text: str) -> str:
    return "".join(char for char in text if char.isprintable())[:MAX_NAME_CHARACTERS]
