"""Text from board files, drivers and paths, made fit to be a label value. Pure."""

from __future__ import annotations

# 64: a label value that fits on a dashboard.
MAX_CHARACTERS = 64


def shown(text: str) -> str:
    """Printable, on one line, of bounded length: it becomes a label value."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:MAX_CHARACTERS]
