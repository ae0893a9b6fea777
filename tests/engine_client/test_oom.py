from pathlib import Path

import pytest

from edge_agent.engine_client.oom import OomKills, parse_cgroup_path, parse_oom_kill, read_oom_kills


def write(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("nr_free_pages 12\noom_kill 3\nnuma_hit 4\n", 3),
        ("low 0\nhigh 0\nmax 7\noom 1\noom_kill 1\noom_group_kill 5\n", 1),
        ("oom_kill 0", 0),
        ("nr_free_pages 12\n", None),
        ("oom_kill\n", None),
        ("oom_kill -1\n", None),
        ("oom_kill many\n", None),
        ("", None),
    ],
)
def test_the_count_is_the_number_of_its_own_line(text: str, count: int | None) -> None:
    assert parse_oom_kill(text) == count


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("0::/system.slice/edge-agent.service\n", "system.slice/edge-agent.service"),
        ("4:memory:/old\n0::/new\n", "new"),
        ("0::/\n", ""),
        ("4:memory:/old\n", ""),
        ("", ""),
    ],
)
def test_the_cgroup_is_that_of_version_two(text: str, path: str) -> None:
    assert parse_cgroup_path(text) == path


def test_both_counts_are_read_below_the_root(tmp_path: Path) -> None:
    write(tmp_path, "proc/vmstat", "oom_kill 5\n")
    write(tmp_path, "proc/self/cgroup", "0::/system.slice/edge-agent.service\n")
    write(tmp_path, "sys/fs/cgroup/system.slice/edge-agent.service/memory.events", "oom 2\noom_kill 1\n")
    assert read_oom_kills(tmp_path) == OomKills(machine=5, cgroup=1)


def test_a_kernel_without_these_files_says_nothing(tmp_path: Path) -> None:
    assert read_oom_kills(tmp_path) == OomKills(machine=None, cgroup=None)


@pytest.mark.parametrize(
    ("before", "after", "has_risen"),
    [
        (OomKills(machine=1, cgroup=None), OomKills(machine=2, cgroup=None), True),
        (OomKills(machine=1, cgroup=0), OomKills(machine=1, cgroup=1), True),
        (OomKills(machine=1, cgroup=0), OomKills(machine=1, cgroup=0), False),
        (OomKills(machine=None, cgroup=None), OomKills(machine=7, cgroup=None), False),
        (OomKills(machine=7, cgroup=3), OomKills(machine=None, cgroup=0), False),
    ],
)
def test_either_count_rising_means_an_out_of_memory_kill(before: OomKills, after: OomKills, has_risen: bool) -> None:
    assert after.rose_since(before) is has_risen
