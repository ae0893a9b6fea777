from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.tuning.machine import cpu_model

BOARDS = Path(__file__).parents[1] / "fixtures" / "boards"


@pytest.mark.parametrize(
    ("board", "expected"),
    [
        ("pi5", "Raspberry Pi 5 Model B Rev 1.0 0x41:0xd0b"),
        ("pi4", "Raspberry Pi 4 Model B Rev 1.5 0x41:0xd08"),
        ("x86", "Intel(R) Core(TM) i3-9100T CPU @ 3.10GHz"),
        ("vm", "QEMU Virtual CPU version 2.5+"),
    ],
)
def test_the_cpu_is_called_by_its_model(board: str, expected: str) -> None:
    assert cpu_model(BOARDS / board) == expected


def test_two_kinds_of_core_are_both_named(tmp_path: Path) -> None:
    write_cpuinfo(
        tmp_path, "CPU implementer\t: 0x41\nCPU part\t: 0xd05\n\nCPU implementer\t: 0x41\nCPU part\t: 0xd0a\n"
    )
    assert cpu_model(tmp_path) == "0x41:0xd05 0x41:0xd0a"


def test_a_machine_that_does_not_tell_is_unknown(tmp_path: Path) -> None:
    assert cpu_model(tmp_path) == "unknown"
    write_cpuinfo(tmp_path, "processor\t: 0\n")
    assert cpu_model(tmp_path) == "unknown"


def test_a_hostile_name_is_cut_and_made_printable(tmp_path: Path) -> None:
    write_cpuinfo(tmp_path, "model name\t: \x1b[2J" + "x" * 1000 + "\n")
    assert cpu_model(tmp_path) == "[2J" + "x" * 197


def write_cpuinfo(root: Path, text: str) -> None:
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc" / "cpuinfo").write_text(text)
