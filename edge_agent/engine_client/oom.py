"""The kernel's counts of processes that it killed for want of memory, of the machine and of the agent's cgroup.

Knows nothing of the engine; runs on whatever thread calls it and only reads small files of procfs and cgroupfs.
Sources: `oom_kill` in /proc/vmstat (Linux 4.13), and in memory.events of cgroup v2 (the kernel's cgroup-v2.rst).
"""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

logger = logging.getLogger(__name__)


class OomKills(msgspec.Struct, frozen=True, kw_only=True):
    """Processes killed so far. None: the kernel does not say."""

    machine: int | None
    cgroup: int | None

    def rose_since(self, before: OomKills) -> bool:
        return _rose(before.machine, self.machine) or _rose(before.cgroup, self.cgroup)


def read_oom_kills(root: Path) -> OomKills:
    """Both counts, below the file-system root `root`."""
    return OomKills(
        machine=parse_oom_kill(_text(root / "proc/vmstat")),
        cgroup=parse_oom_kill(_text(_memory_events(root))),
    )


def parse_oom_kill(text: str) -> int | None:
    """The number in the line `oom_kill N`; None where there is no such line."""
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == "oom_kill" and value.isdecimal():
            return int(value)
    return None


def parse_cgroup_path(text: str) -> str:
    """The cgroup v2 path in /proc/self/cgroup (the line `0::/path`), no leading slash; "" where there is none."""
    for line in text.splitlines():
        if line.startswith("0::"):
            return line.removeprefix("0::").lstrip("/")
    return ""


def _memory_events(root: Path) -> Path:
    return root / "sys/fs/cgroup" / parse_cgroup_path(_text(root / "proc/self/cgroup")) / "memory.events"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        logger.debug("no count of out-of-memory kills here, their cause may be reported as crash error=%s", error)
        return ""


def _rose(before: int | None, after: int | None) -> bool:
    return before is not None and after is not None and after > before
