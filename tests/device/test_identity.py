from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_agent.device.identity import IdentityCollector
from edge_agent.device.sensor_files import SensorFiles
from tests.device.board_tree import board, collect, write_tree


def facts(files: SensorFiles) -> dict[str, str]:
    (info,) = collect(IdentityCollector(files)).found
    assert (info.metric, info.value) == ("device_info", 1)
    return dict(info.labels)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "pi4",
            {
                "board": "Raspberry Pi 4 Model B Rev 1.5",
                "os": "Debian GNU/Linux 12 (bookworm)",
                "kernel": "6.12.47+rpt-rpi-v8",
                "firmware": "8ba17717fbcedd4c3b6d4bce7e50c7af4155cba9",
            },
        ),
        (
            "pi5",
            {
                "board": "Raspberry Pi 5 Model B Rev 1.0",
                "os": "Debian GNU/Linux 13 (trixie)",
                "kernel": "6.12.47+rpt-rpi-2712",
                "firmware": "69471177f8ac4e7b1b9bd8a8f1fb27bf4ed63b43",
            },
        ),
        (
            "x86",
            {
                "board": "ASUSTeK COMPUTER INC. MiniPC PN62",
                "os": "Debian GNU/Linux 11 (bullseye)",
                "kernel": "5.10.0-28-amd64",
                "firmware": "1212",
            },
        ),
        (
            "vm",
            {
                "board": "QEMU Standard PC (i440FX + PIIX, 1996)",
                "os": "Ubuntu 24.04.3 LTS",
                "kernel": "6.1.0-28-amd64",
                "firmware": "rel-1.16.3-0-ga6ed6b701f0a",
            },
        ),
    ],
)
def test_which_board_it_is(name: str, expected: dict[str, str]) -> None:
    assert facts(board(name)) == expected


def test_a_machine_that_says_nothing_is_called_by_its_architecture(tmp_path: Path) -> None:
    assert facts(SensorFiles(tmp_path)) == {
        "board": os.uname().machine,
        "os": "unknown",
        "kernel": "unknown",
        "firmware": "unknown",
    }


def test_without_a_device_tree_the_processor_s_list_tells_the_board(tmp_path: Path) -> None:
    cpuinfo = "processor\t: 0\nmodel name\t: ARMv7\n\nModel\t\t: Raspberry Pi 3 Model B Rev 1.2"
    assert facts(write_tree(tmp_path, {"proc/cpuinfo": cpuinfo}))["board"] == "Raspberry Pi 3 Model B Rev 1.2"


def test_what_a_maker_did_not_fill_in_is_no_name(tmp_path: Path) -> None:
    files = {"sys_vendor": "To Be Filled By O.E.M.", "product_name": "Default string", "bios_version": "Not Specified"}
    labels = facts(write_tree(tmp_path, {f"sys/class/dmi/id/{name}": text for name, text in files.items()}))
    assert (labels["board"], labels["firmware"]) == (os.uname().machine, "unknown")


@pytest.mark.parametrize(
    ("model", "board_label"),
    [
        ("Pi\x1b[31m\n\u202e4\x00B", "Pi [31m 4 B"),
        ("x" * 60_000, "x" * 64),
        ("Pi   4", "Pi 4"),
    ],
)
def test_hostile_text_becomes_one_short_printable_line(tmp_path: Path, model: str, board_label: str) -> None:
    assert facts(write_tree(tmp_path, {"proc/device-tree/model": model}))["board"] == board_label


def test_it_is_read_once(tmp_path: Path) -> None:
    collector = IdentityCollector(write_tree(tmp_path, {"proc/device-tree/model": "before"}))
    first = collect(collector).found
    write_tree(tmp_path, {"proc/device-tree/model": "after"})
    assert collect(collector).found == first
