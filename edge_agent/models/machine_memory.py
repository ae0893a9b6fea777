"""How much memory this machine, and every cgroup that limits this process, has and has left: under a file-system root.

A machine without these files (a test tree, a system that is not Linux) gives None, never an error. Sources:
proc_meminfo(5); the kernel's cgroup-v2.rst and cgroup-v1/memory.rst.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

from msgspec import Struct

from edge_agent.models.kernel_file import read_kernel_file

log = logging.getLogger(__name__)

KIB = 1024
MEMINFO_LINE = re.compile(r"^(\w+): +(\d{1,15}) kB$", re.MULTILINE)
STAT_LINE = re.compile(r"^(\w+) (\d{1,18})$", re.MULTILINE)
NUMBER = re.compile(r"[0-9]{1,19}")
# cgroup v1 writes a number near 2^63 where no limit is set.
UNLIMITED_BYTES = 2**60


class CgroupFiles(Struct, frozen=True, kw_only=True):
    """What one version of cgroups calls its files, and its counts of file pages, which give way to programs."""

    limits: tuple[str, ...]
    usage: str
    page_cache: tuple[str, ...]


# Above memory.high nothing is killed, but everything is slowed down to a crawl.
CGROUP_V2 = CgroupFiles(
    limits=("memory.max", "memory.high"), usage="memory.current", page_cache=("active_file", "inactive_file")
)
CGROUP_V1 = CgroupFiles(
    limits=("memory.limit_in_bytes",),
    usage="memory.usage_in_bytes",
    page_cache=("total_active_file", "total_inactive_file"),
)


class MachineMemory(Struct, frozen=True, kw_only=True):
    """Bytes: what is built in, what may be used now, and the tightest cgroup limit (None: no limit).

    A model file's pages in the page cache count as available, also those that a cgroup has been charged for.
    """

    total_bytes: int
    available_bytes: int
    cgroup_limit_bytes: int | None

    @property
    def usable_bytes(self) -> int:
        """What a process here can ever have."""
        if self.cgroup_limit_bytes is None:
            return self.total_bytes
        return min(self.total_bytes, self.cgroup_limit_bytes)


class _Cgroup(Struct, frozen=True):
    limit_bytes: int
    available_bytes: int


def read_machine_memory(root: Path) -> MachineMemory | None:
    """Read `proc/meminfo` and this process's cgroups below `root` ("/" on a real machine)."""
    sizes = {name: int(size) * KIB for name, size in MEMINFO_LINE.findall(read_kernel_file(root / "proc/meminfo"))}
    total_bytes = sizes.get("MemTotal")
    if total_bytes is None:
        log.debug("memory of this machine is unknown: no MemTotal in file=%s", root / "proc/meminfo")
        return None
    cgroups = _limited_cgroups(root)
    return MachineMemory(
        total_bytes=total_bytes,
        available_bytes=min([sizes.get("MemAvailable", total_bytes), *(group.available_bytes for group in cgroups)]),
        cgroup_limit_bytes=min((group.limit_bytes for group in cgroups), default=None),
    )


def _limited_cgroups(root: Path) -> list[_Cgroup]:
    """Those with a memory limit, between this process's cgroup and the top."""
    cgroups: list[_Cgroup] = []
    for line in read_kernel_file(root / "proc/self/cgroup").splitlines():
        _, _, controllers_and_path = line.partition(":")
        controllers, _, path = controllers_and_path.partition(":")
        if controllers == "":
            cgroups += _read_upwards(root / "sys/fs/cgroup", path, CGROUP_V2)
        elif "memory" in controllers.split(","):
            cgroups += _read_upwards(root / "sys/fs/cgroup/memory", path, CGROUP_V1)
    return cgroups


def _read_upwards(top: Path, path: str, files: CgroupFiles) -> list[_Cgroup]:
    parts = [part for part in path.split("/") if part not in {"", ".", ".."}]
    folders = [top.joinpath(*parts[:depth]) for depth in range(len(parts) + 1)]
    cgroups = (_read_cgroup(folder, files) for folder in folders)
    return [cgroup for cgroup in cgroups if cgroup is not None]


def _read_cgroup(folder: Path, files: CgroupFiles) -> _Cgroup | None:
    """None: it has no limit."""
    numbers = [_number(folder / name) for name in files.limits]
    limits = [number for number in numbers if number is not None and number < UNLIMITED_BYTES]
    if not limits:
        return None
    stat = dict(STAT_LINE.findall(read_kernel_file(folder / "memory.stat")))
    page_cache_bytes = sum(int(stat.get(name, 0)) for name in files.page_cache)
    held_bytes = max(0, (_number(folder / files.usage) or 0) - page_cache_bytes)
    return _Cgroup(min(limits), max(0, min(limits) - held_bytes))


def _number(path: Path) -> int | None:
    text = read_kernel_file(path).strip()
    return int(text) if NUMBER.fullmatch(text) else None
