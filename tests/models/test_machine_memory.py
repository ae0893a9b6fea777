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


V2_GROUP = "sys/fs/cgroup/system.slice/edge.service"
V2 = {
    "proc/self/cgroup": "0::/system.slice/edge.service\n",
    f"{V2_GROUP}/memory.max": f"{3 * GIB}\n",
    f"{V2_GROUP}/memory.current": f"{2 * GIB}\n",
    # Of the two used, one and a half are pages of files.
    f"{V2_GROUP}/memory.stat": f"anon {GIB // 2}\nfile {2 * GIB}\ninactive_file {GIB}\nactive_file {GIB // 2}\n",
}


@pytest.mark.parametrize(
    ("changes", "available_bytes"),
    [
        ({}, 5 * GIB // 2),
        ({f"{V2_GROUP}/memory.high": f"{2 * GIB}\n"}, 3 * GIB // 2),
        ({f"{V2_GROUP}/memory.high": "max\n"}, 5 * GIB // 2),
        ({f"{V2_GROUP}/memory.max": "max\n"}, 4 * GIB),
        ({f"{V2_GROUP}/memory.max": f"{100 * GIB}\n"}, 4 * GIB),
        ({f"{V2_GROUP}/memory.current": f"{9 * GIB}\n"}, 0),
        ({f"{V2_GROUP}/memory.current": "?"}, 3 * GIB),
        ({f"{V2_GROUP}/memory.stat": "nonsense"}, GIB),
        ({"sys/fs/cgroup/system.slice/memory.max": f"{GIB}\n"}, GIB),
        ({f"{V2_GROUP}/memory.max": "9" * 5000}, 4 * GIB),
    ],
    ids=[
        "file pages do not count as used",
        "a group is slowed down at memory.high",
        "no memory.high",
        "no limit",
        "a limit above what the machine has",
        "over the limit",
        "use unknown",
        "file pages unknown",
        "a tighter group above",
        "a number that is none",
    ],
)
def test_what_is_left_of_a_cgroup_is_available(tmp_path: Path, changes: dict[str, str], available_bytes: int) -> None:
    memory = read_machine_memory(write(tmp_path, {"proc/meminfo": MEMINFO, **V2, **changes}))
    assert memory is not None
    assert memory.available_bytes == available_bytes


def test_what_is_left_of_a_cgroup_of_version_1_is_available(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/memory/edge"
    files = {
        "proc/self/cgroup": "4:memory:/edge\n",
        f"{group}/memory.limit_in_bytes": f"{3 * GIB}\n",
        f"{group}/memory.usage_in_bytes": f"{2 * GIB}\n",
        f"{group}/memory.stat": f"inactive_file 5\ntotal_inactive_file {GIB}\ntotal_active_file {GIB // 2}\n",
    }
    memory = read_machine_memory(write(tmp_path, {"proc/meminfo": MEMINFO, **files}))
    assert memory is not None
    assert memory.available_bytes == 5 * GIB // 2


@pytest.mark.parametrize("files", [{}, {"proc/meminfo": "MemTotal: many kB\n"}, {"proc/meminfo": "\xff\0"}])
def test_a_machine_that_does_not_tell_is_unknown(tmp_path: Path, files: dict[str, str]) -> None:
    assert read_machine_memory(write(tmp_path, files)) is None


def test_this_very_machine_tells() -> None:
    memory = read_machine_memory(Path("/"))
    assert memory is not None
    assert 0 < memory.available_bytes <= memory.total_bytes
