from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from edge_agent.device.filesystems import FilesystemsCollector, mountpoint_of
from edge_agent.device.reading import Readings
from edge_agent.device.sensor_files import SensorFiles
from tests.device.board_tree import collect, problems, values

T = TypeVar("T")


def collect_folders(root: Path, *folders: Path) -> Readings:
    return collect(FilesystemsCollector(SensorFiles(root), folders=folders))


def test_size_and_room_are_those_of_the_folder_s_file_system(tmp_path: Path) -> None:
    readings = collect_folders(tmp_path, Path("/proc/sys"), tmp_path)
    numbers = os.statvfs(tmp_path)
    sizes = values(readings, "filesystem_size_bytes")
    assert sizes[str(mountpoint_of(tmp_path))] == numbers.f_blocks * numbers.f_frsize
    # The kernel's own file system has neither.
    assert sizes["/proc"] == 0
    assert values(readings, "filesystem_available_bytes")["/proc"] == 0


def test_two_folders_on_one_mount_share_its_series(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    readings = collect_folders(tmp_path, tmp_path, tmp_path / "models")
    assert [reading.metric for reading in readings.found] == ["filesystem_size_bytes", "filesystem_available_bytes"]


def test_a_link_is_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "models").symlink_to("/proc/sys")
    assert mountpoint_of(tmp_path / "models") == Path("/proc")


def test_a_folder_that_is_not_there_yet_is_an_absence(tmp_path: Path) -> None:
    readings = collect_folders(tmp_path, tmp_path / "later", Path("/proc"))
    assert list(values(readings, "filesystem_size_bytes")) == ["/proc"]
    assert [str(absence) for absence in readings.absences] == [f"{tmp_path}/later: not there yet"]
    assert problems(readings) == []


def test_a_link_that_leads_to_itself_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    readings = collect_folders(tmp_path, tmp_path / "loop")
    assert problems(readings) == [f"{tmp_path}/loop: Too many levels of symbolic links"]


def test_a_folder_that_moves_to_another_file_system_is_told_under_its_mount(tmp_path: Path) -> None:
    (tmp_path / "models").symlink_to("/proc")
    collector = FilesystemsCollector(SensorFiles(tmp_path), folders=[tmp_path / "models"])
    assert [list(values(collect(collector), "filesystem_size_bytes")) for _ in range(2)] == [["/proc"], ["/proc"]]
    (tmp_path / "models").unlink()
    (tmp_path / "models").symlink_to("/sys")
    assert list(values(collect(collector), "filesystem_size_bytes")) == ["/sys"]


def test_every_look_at_a_folder_can_be_given_up(tmp_path: Path) -> None:
    asked: list[str] = []

    class WatchedFiles(SensorFiles):
        def call(self, name: str, function: Callable[[], T]) -> T:
            asked.append(name)
            return super().call(name, function)

    collect(FilesystemsCollector(WatchedFiles(tmp_path), folders=[tmp_path, Path("/proc")]))
    assert asked == [str(tmp_path), "/proc"]


@pytest.mark.parametrize("folder", ["/", "/proc"])
def test_a_mount_is_its_own(folder: str) -> None:
    assert mountpoint_of(Path(folder)) == Path(folder)
