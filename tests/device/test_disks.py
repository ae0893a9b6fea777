from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.device.disks import DisksCollector
from edge_agent.device.proc_files import ProcFiles
from edge_agent.device.sensor_files import SensorFiles
from tests.device.board_tree import board, collect, problems, values, write_tree

METRIC = "disk_written_bytes_total"


def collector_of(files: SensorFiles) -> DisksCollector:
    return DisksCollector(files, ProcFiles(files))


def line(disk: str, *, sectors_written: int) -> str:
    return f" 179 0 {disk} 1 2 3 4 5 6 {sectors_written} 8 0 10 11 0 0 0 0"


def tree(root: Path, **sectors_written: int) -> SensorFiles:
    lines = [line(disk, sectors_written=sectors) for disk, sectors in sectors_written.items()]
    devices = {f"sys/block/{disk}/device/type": "" for disk in sectors_written}
    return write_tree(root, {"proc/diskstats": "\n".join(lines), **devices})


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("pi4", {"mmcblk0": 1073741824}),
        ("pi5", {"mmcblk0": 2097152, "nvme0n1": 42949672960}),
        ("x86", {"nvme0n1": 107374182400}),
        ("vm", {"vda": 524288}),
    ],
)
def test_bytes_written_to_whole_disks_only(name: str, written: dict[str, float]) -> None:
    readings = collect(collector_of(board(name)))
    assert values(readings, METRIC) == written
    assert problems(readings) == []


def test_the_boot_parts_of_an_emmc_are_no_disks(tmp_path: Path) -> None:
    files = tree(tmp_path, mmcblk0=8, mmcblk0boot0=1, mmcblk0boot1=1, mmcblk0rpmb=1)
    assert values(collect(collector_of(files)), METRIC) == {"mmcblk0": 4096}


def test_a_disk_that_was_pulled_and_comes_back_goes_on_counting_up(tmp_path: Path) -> None:
    collector = collector_of(tree(tmp_path, sda=100))
    collect(collector)
    tree(tmp_path, sda=10)
    assert values(collect(collector), METRIC) == {"sda": 56320}


def test_no_board_has_series_without_end(tmp_path: Path) -> None:
    readings = collect(collector_of(tree(tmp_path, **{f"sd{number}": 1 for number in range(40)})))
    assert len(values(readings, METRIC)) == 32
    assert problems(readings) == ["sys/block: 40 devices; those after the first 32 have no series"]


def test_a_tree_without_the_table_is_not_answered_with_the_machine_s_own_disks(tmp_path: Path) -> None:
    # Every disk that this machine has, so that one of them would be told.
    names = [*(disk.name for disk in Path("/sys/block").iterdir()), "sda"]
    readings = collect(
        collector_of(write_tree(tmp_path, {f"sys/block/{name}/device/type": "" for name in names[-32:]}))
    )
    assert readings.found == []
    assert [str(absence) for absence in readings.absences] == ["proc/diskstats: not there"]


def test_a_table_of_another_form_is_an_error(tmp_path: Path) -> None:
    files = write_tree(tmp_path, {"proc/diskstats": "179 0 mmcblk0 many", "sys/block/mmcblk0/device/type": "SD"})
    readings = collect(collector_of(files))
    assert readings.found == []
    assert [problem.partition(":")[0] for problem in problems(readings)] == ["proc/diskstats"]
