"""How much memory this machine, or the cgroup that limits this process, has: read from /proc and /sys under a root.

A machine without these files (a test tree, a system that is not Linux) gives None, never an error.
"""

from __future__ import annotations

import logging
from pathlib import Path

from msgspec import Struct

log = logging.getLogger(__name__)

KIB = 1024
# cgroup v1 writes a number near 2^63 where no limit is set.
CGROUP_V1_UNLIMITED_BYTES = 2**60


class MachineMemory(Struct, frozen=True, kw_only=True):
    """Bytes: what is built in, what is free for use now, and the tightest cgroup limit (None: no limit)."""

    total_bytes: int
    available_bytes: int
    cgroup_limit_bytes: int | None

    @property
    def usable_bytes(self) -> int:
        """What a process here can ever have."""
        if self.cgroup_limit_bytes is None:
            return self.total_bytes
        return min(self.total_bytes, self.cgroup_limit_bytes)


def read_machine_memory(root: Path) -> MachineMemory | None:
    """Read `proc/meminfo` and this process's cgroup below `root` ("/" on a real machine)."""
    fields = _meminfo(root / "proc/meminfo")
    total_bytes = fields.get("MemTotal")
    if total_bytes is None:
        log.debug("memory of this machine is unknown: no MemTotal in file=%s", root / "proc/meminfo")
        return None
    return MachineMemory(
        total_bytes=total_bytes,
        available_bytes=fields.get("MemAvailable", total_bytes),
        cgroup_limit_bytes=_cgroup_limit(root),
    )


def _meminfo(path: Path) -> dict[str, int]:
    """Fields of meminfo in bytes."""
    fields = {}
    for line in _read(path).splitlines():
        name, _, value = line.partition(":")
        number, _, unit = value.strip().partition(" ")
        if number.isascii() and number.isdigit() and unit == "kB":
            fields[name] = int(number) * KIB
    return fields


def _cgroup_limit(root: Path) -> int | None:
    """The smallest memory limit between this process's cgroup and the top."""
    limits: list[int] = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, controllers_and_path = line.partition(":")
        controllers, _, path = controllers_and_path.partition(":")
        if controllers == "":
            limits += _limits_upwards(root / "sys/fs/cgroup", path, "memory.max")
        elif "memory" in controllers.split(","):
            limits += _limits_upwards(root / "sys/fs/cgroup/memory", path, "memory.limit_in_bytes")
    return min(limits, default=None)


def _limits_upwards(top: Path, path: str, name: str) -> list[int]:
    parts = [part for part in path.split("/") if part not in {"", ".", ".."}]
    folders = [top.joinpath(*parts[:depth]) for depth in range(len(parts) + 1)]
    texts = [_read(folder / name).strip() for folder in folders]
    limits = [int(text) for text in texts if text.isascii() and text.isdigit()]
    return [limit for limit in limits if limit < CGROUP_V1_UNLIMITED_BYTES]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        log.debug("not readable, taken as absent: file=%s error=%s", path, error.strerror)
        return ""
