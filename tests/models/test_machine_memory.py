"""Memory is read from a tree of files; what is not there is None."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.models.machine_memory import MachineMemory, read_machine_memory

GIB = 1024**3
MEMINFO = "MemTotal:        8388608 kB\nMemFree:  100 kB\nMemAvailable:    4194304 kB\nHugePages_Total:       0\n"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_machine_without_limits_has_all_its_memory(tmp_path: Path) -> None:
    memory = read_machine_memory(write(tmp_path, {"proc/meminfo": MEMINFO}))
    assert memory == MachineMemory(total_bytes=8 * GIB, available_bytes=4 * GIB, cgroup_limit_bytes=None)
    assert memory.usable_bytes == 8 * GIB


@pytest.mark.parametrize(
    ("files", "limit_bytes"),
    [
        (
            {
                "proc/self/cgroup": "0::/system.slice/edge.service\n",
                "sys/fs/cgroup/system.slice/memory.max": f"{2 * GIB}\n",
                "sys/fs/cgroup/system.slice/edge.service/memory.max": f"{3 * GIB}\n",
            },
            2 * GIB,
        ),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, None),
        (
            {
                "proc/self/cgroup": "3:cpu,memory:/docker/x\n0::/\n",
                "sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes": f"{GIB}\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            },
            GIB,
        ),
        ({"proc/self/cgroup": "0::/../../..\n", "sys/fs/cgroup/memory.max": f"{GIB}\n"}, GIB),
        ({"proc/self/cgroup": "nonsense\n"}, None),
    ],
)
def test_the_tightest_cgroup_limit_counts(tmp_path: Path, files: dict[str, str], limit_bytes: int | None) -> None:
    memory = read_machine_memory(write(tmp_path, {"proc/meminfo": MEMINFO, **files}))
    assert memory is not None
    assert memory.cgroup_limit_bytes == limit_bytes
    assert memory.usable_bytes == (limit_bytes or 8 * GIB)


@pytest.mark.parametrize("files", [{}, {"proc/meminfo": "MemTotal: many kB\n"}, {"proc/meminfo": "\xff\0"}])
def test_a_machine_that_does_not_tell_is_unknown(tmp_path: Path, files: dict[str, str]) -> None:
    assert read_machine_memory(write(tmp_path, files)) is None


def test_this_very_machine_tells() -> None:
    memory = read_machine_memory(Path("/"))
    assert memory is not None
    assert 0 < memory.available_bytes <= memory.total_bytes
