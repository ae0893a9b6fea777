from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.device.memory import MemoryCollector
from tests.device.board_tree import board, collect, problems, write_tree


@pytest.mark.parametrize(
    ("name", "total", "available", "swap"),
    [
        ("pi4", 3977596928, 2673872896, 20971520),
        ("pi5", 8454012928, 7078248448, 0),
        ("x86", 33554432000, 25165824000, 0),
        ("vm", 2079240192, 1538396160, 0),
    ],
)
def test_memory_and_swap_in_bytes(name: str, total: int, available: int, swap: int) -> None:
    readings = collect(MemoryCollector(board(name)))
    assert {reading.metric: reading.value for reading in readings.found} == {
        "memory_total_bytes": total,
        "memory_available_bytes": available,
        "swap_used_bytes": swap,
    }
    assert problems(readings) == []


def test_a_line_that_is_missing_costs_its_own_series(tmp_path: Path) -> None:
    files = write_tree(tmp_path, {"proc/meminfo": "MemTotal:  1000 kB\nMemAvailable:  500 kB"})
    readings = collect(MemoryCollector(files))
    assert {reading.metric: reading.value for reading in readings.found} == {
        "memory_total_bytes": 1024000,
        "memory_available_bytes": 512000,
    }
    assert len(problems(readings)) == 1


@pytest.mark.parametrize("number", ["-1", "9" * 5000, "1.5", ""])
def test_numbers_that_are_none_are_an_error(tmp_path: Path, number: str) -> None:
    readings = collect(MemoryCollector(write_tree(tmp_path, {"proc/meminfo": f"MemTotal:  {number} kB"})))
    assert readings.found == []
    assert problems(readings) != []
