from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest

from edge_agent.device.instance import instance_id
from edge_agent.device.sensor_files import SensorFiles
from edge_agent.errors import ConfigError
from tests.device.board_tree import board, write_tree

MACHINE_ID = "0123456789abcdef0123456789abcdef"


def name_of(files: SensorFiles, state_dir: Path, configured: str | None = None) -> str:
    return instance_id(files, configured=configured, state_dir=state_dir)


def test_the_configured_name_comes_first(tmp_path: Path) -> None:
    assert name_of(board("pi4"), tmp_path, configured="shop-07") == "shop-07"


def test_a_board_is_called_by_its_serial_number_whatever_system_runs_on_it(tmp_path: Path) -> None:
    files = {"proc/device-tree/serial-number": "10000000a1b2c3d4\0", "etc/machine-id": MACHINE_ID}
    # sha256 of "edge-agent:10000000a1b2c3d4"
    assert name_of(write_tree(tmp_path, files), tmp_path) == "edge-1e497ab07bb3"
    assert name_of(board("pi4"), tmp_path) == "edge-1e497ab07bb3"


def test_the_serial_number_is_found_where_proc_has_no_device_tree(tmp_path: Path) -> None:
    files = write_tree(tmp_path, {"sys/firmware/devicetree/base/serial-number": "10000000a1b2c3d4\0"})
    assert name_of(files, tmp_path) == "edge-1e497ab07bb3"


@pytest.mark.parametrize("serial", ["0000000000000000", "00000000-0000", "", "ab c", "x" * 65])
def test_a_serial_number_that_is_none_is_passed_over(tmp_path: Path, serial: str) -> None:
    files = write_tree(tmp_path, {"proc/device-tree/serial-number": serial, "etc/machine-id": MACHINE_ID})
    # sha256 of "edge-agent:0123456789abcdef0123456789abcdef"
    assert name_of(files, tmp_path) == "edge-aa104db5d0e6"


@pytest.mark.parametrize("machine_id", ["uninitialized", "0" * 32, "0123"])
def test_without_an_id_of_anything_a_random_name_is_kept(tmp_path: Path, machine_id: str) -> None:
    files = write_tree(tmp_path, {"etc/machine-id": machine_id})
    name = name_of(files, tmp_path / "state")
    assert re.fullmatch(r"edge-[0-9a-f]{12}", name)
    assert (tmp_path / "state" / "instance-id").read_text() == f"{name}\n"
    assert name_of(files, tmp_path / "state") == name
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["instance-id"]


def test_the_kept_name_is_the_service_s_alone(tmp_path: Path) -> None:
    name_of(SensorFiles(tmp_path), tmp_path)
    assert stat.S_IMODE((tmp_path / "instance-id").stat().st_mode) == 0o600


def test_two_devices_get_two_names(tmp_path: Path) -> None:
    assert name_of(SensorFiles(tmp_path), tmp_path / "a") != name_of(SensorFiles(tmp_path), tmp_path / "b")


@pytest.mark.parametrize("content", [b"", b"edge-12", b"\xff\xfe", b"edge-0123456789ab" + b"x" * 100_000, b"\0" * 18])
def test_a_damaged_name_is_replaced_and_that_is_said(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "instance-id").write_bytes(content)
    name = name_of(SensorFiles(tmp_path), tmp_path)
    assert re.fullmatch(r"edge-[0-9a-f]{12}", name)
    assert caplog.messages == [
        f"the kept device name is damaged, a new one takes its place file={tmp_path}/instance-id"
    ]
    assert name_of(SensorFiles(tmp_path), tmp_path) == name


def test_a_pipe_in_its_place_is_not_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.mkfifo(tmp_path / "instance-id")
    name = name_of(SensorFiles(tmp_path), tmp_path)
    assert (tmp_path / "instance-id").read_text() == f"{name}\n"
    assert len(caplog.messages) == 1


def test_a_link_in_its_place_is_replaced_and_not_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "target").write_text("edge-0123456789ab\n")
    (tmp_path / "instance-id").symlink_to(tmp_path / "target")
    assert name_of(SensorFiles(tmp_path), tmp_path) != "edge-0123456789ab"
    assert (tmp_path / "target").read_text() == "edge-0123456789ab\n"
    assert not (tmp_path / "instance-id").is_symlink()
    assert len(caplog.messages) == 1


def test_a_name_that_cannot_be_kept_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(ConfigError, match=r"set device\.instance, or a state_dir that can be written"):
        name_of(SensorFiles(tmp_path), tmp_path / "state")


def test_a_folder_in_its_place_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "instance-id").mkdir()
    (tmp_path / "instance-id" / "kept").write_text("")
    with pytest.raises(ConfigError, match="instance-id: "):
        name_of(SensorFiles(tmp_path), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["instance-id"]
