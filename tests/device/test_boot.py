from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.device.boot import BootCollector
from edge_agent.device.proc_files import ProcFiles
from tests.device.board_tree import board, collect, problems, write_tree


@pytest.mark.parametrize(
    ("name", "seconds"), [("pi4", 1763971200), ("pi5", 1764057600), ("x86", 1763884800), ("vm", 1763798400)]
)
def test_the_time_of_boot_is_a_timestamp(name: str, seconds: int) -> None:
    readings = collect(BootCollector(ProcFiles(board(name))))
    assert [(reading.metric, reading.value, reading.labels) for reading in readings.found] == [
        ("boot_timestamp_seconds", seconds, ())
    ]


def test_it_follows_the_clock_once_that_is_set(tmp_path: Path) -> None:
    collector = BootCollector(ProcFiles(write_tree(tmp_path, {"proc/stat": "btime 12"})))
    collect(collector)
    write_tree(tmp_path, {"proc/stat": "btime 1763971200"})
    assert [reading.value for reading in collect(collector).found] == [1763971200]


@pytest.mark.parametrize("content", ["cpu  1 2 3", "btime soon"])
def test_a_file_that_does_not_tell_it_is_an_error(tmp_path: Path, content: str) -> None:
    readings = collect(BootCollector(ProcFiles(write_tree(tmp_path, {"proc/stat": content}))))
    assert readings.found == []
    assert [problem.partition(":")[0] for problem in problems(readings)] == ["proc/stat"]
