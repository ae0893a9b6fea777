"""Starts a command in a control group with a memory limit and no swap: by systemd, or in a folder of /sys/fs/cgroup."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from .load import BenchError

NAME = "edge-agent-bench"
# Where either version of the control groups is, and the files that set a limit; a kernel without swap lacks the second.
V2, V1 = Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/memory")
# A group's first process is this shell, which then becomes the command.
JOIN = 'echo $$ > "$0" && exec "$@"'


@contextmanager
def memory_group(num_bytes: int) -> Iterator[tuple[str, ...]]:
    """The words before a command that keep it, and all that it starts, within so much memory.

    Raises BenchError where this user may not do that.
    """
    if Path("/run/systemd/system").exists() and shutil.which("systemd-run"):
        limit = ("-p", f"MemoryMax={num_bytes}", "-p", "MemorySwapMax=0")
        yield ("systemd-run", "--scope", "--quiet", *limit, "--")
        return
    folder, limits = _folder(num_bytes)
    try:
        _make(folder, limits)
    except OSError as error:
        raise BenchError(f"{folder}: {error.strerror}; the memory suite needs root") from error
    try:
        yield ("sh", "-c", JOIN, str(folder / "cgroup.procs"))
    finally:
        folder.rmdir()


def _folder(num_bytes: int) -> tuple[Path, Mapping[str, int]]:
    if (V2 / "cgroup.controllers").exists():
        return V2 / NAME, {"memory.max": num_bytes, "memory.swap.max": 0}
    # Memory and swap together: no more than memory alone, so no swap. In this order, or the kernel refuses.
    return V1 / NAME, {"memory.limit_in_bytes": num_bytes, "memory.memsw.limit_in_bytes": num_bytes}


def _make(folder: Path, limits: Mapping[str, int]) -> None:
    folder.mkdir(exist_ok=True)
    for name, value in limits.items():
        if (folder / name).exists():
            (folder / name).write_text(str(value))
