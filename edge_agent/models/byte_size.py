"""Byte counts as people read them: decimal units, as disks and download pages have them."""

from __future__ import annotations

UNITS = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


def spell_bytes(num_bytes: int) -> str:
    """`2497281120` as `2.50 GB`."""
    for size, unit in UNITS:
        if num_bytes >= size:
            return f"{num_bytes / size:.{2 if unit == 'GB' else 0}f} {unit}"
    return f"{num_bytes} B"
