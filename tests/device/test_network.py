from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_agent.device.network import NetworkCollector
from edge_agent.device.proc_files import ProcFiles
from edge_agent.device.sensor_files import SensorFiles
from tests.device.board_tree import board, collect, problems, values, write_tree

HEAD = "Inter-|   Receive  |  Transmit\n face |bytes packets |bytes packets\n"


def collector_of(files: SensorFiles) -> NetworkCollector:
    return NetworkCollector(files, ProcFiles(files))


def tree(root: Path, **received_bytes: int) -> SensorFiles:
    rows = [f"{name}: {received} 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0" for name, received in received_bytes.items()]
    devices = {f"sys/class/net/{name}/device/uevent": "" for name in received_bytes}
    return write_tree(root, {"proc/net/dev": HEAD + "\n".join(rows), **devices})


@pytest.mark.parametrize(
    ("name", "received", "sent"),
    [
        ("pi4", {"eth0": 734003200, "wlan0": 1048576}, {"eth0": 52428800, "wlan0": 2048}),
        ("pi5", {"eth0": 5368709120}, {"eth0": 104857600}),
        ("x86", {"enp1s0": 21474836480, "enp2s0": 0}, {"enp1s0": 1073741824, "enp2s0": 0}),
        ("vm", {"ens3": 65536}, {"ens3": 32768}),
    ],
)
def test_only_interfaces_with_hardware_behind_them(
    name: str, received: dict[str, float], sent: dict[str, float]
) -> None:
    readings = collect(collector_of(board(name)))
    assert values(readings, "network_received_bytes_total") == received
    assert values(readings, "network_sent_bytes_total") == sent
    assert problems(readings) == []


def test_a_count_that_begins_anew_goes_on_counting_up(tmp_path: Path) -> None:
    collector = collector_of(tree(tmp_path, eth1=1000))
    collect(collector)
    tree(tmp_path, eth1=20)
    readings = collect(collector)
    assert values(readings, "network_received_bytes_total") == {"eth1": 1020}
    assert values(readings, "network_sent_bytes_total") == {"eth1": 7}


def test_no_board_has_series_without_end(tmp_path: Path) -> None:
    readings = collect(collector_of(tree(tmp_path, **{f"eth{number}": 1 for number in range(40)})))
    assert len(values(readings, "network_sent_bytes_total")) == 32
    assert problems(readings) == ["sys/class/net: 40 devices; those after the first 32 have no series"]


def test_a_name_that_cannot_be_printed_becomes_one_that_can(tmp_path: Path) -> None:
    name = b"eth\xff\x1b"
    (tmp_path / "sys/class/net" / os.fsdecode(name) / "device").mkdir(parents=True)
    (tmp_path / "proc" / "net").mkdir(parents=True)
    row = name + b": 5 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0\n"
    (tmp_path / "proc" / "net" / "dev").write_bytes(HEAD.encode() + row)
    assert values(collect(collector_of(SensorFiles(tmp_path))), "network_received_bytes_total") == {"eth": 5}


def test_a_table_of_another_form_is_an_error(tmp_path: Path) -> None:
    files = write_tree(tmp_path, {"proc/net/dev": f"{HEAD}eth0: lots", "sys/class/net/eth0/device/uevent": ""})
    readings = collect(collector_of(files))
    assert readings.found == []
    assert [problem.partition(":")[0] for problem in problems(readings)] == ["proc/net/dev"]
