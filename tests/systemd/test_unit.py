"""The unit as systemd itself reads it, in a tree of files that looks like a device's."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from edge_agent.cli import commands
from edge_agent.config import ServerSection

UNIT = Path(__file__).parents[2] / "systemd" / "edge-agent.service"
SYSTEM_UNITS = Path("/usr/lib/systemd/system")
PROGRAM = "opt/edge-agent/current/bin/edge-agent"


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def verify(device: Path, unit: str) -> str:
    """What systemd has to say against the unit when it is installed on the device; it warns and ends with 0."""
    path = device / "etc/systemd/system/edge-agent.service"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(unit, encoding="utf-8")
    done = analyze("verify", "--man=no", f"--root={device}", "/etc/systemd/system/edge-agent.service")
    return done.stdout + done.stderr


def settings(unit: Path) -> dict[str, list[str]]:
    lines = unit.read_text(encoding="utf-8").splitlines()
    values: dict[str, list[str]] = {}
    for line in lines:
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            values.setdefault(name, []).append(value)
    return values


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """A root file system with this machine's units of systemd's own, and a program where the role puts ours."""
    shutil.copytree(SYSTEM_UNITS, tmp_path / "usr/lib/systemd/system", symlinks=True)
    program = tmp_path / PROGRAM
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n", encoding="ascii")
    program.chmod(0o755)
    return tmp_path


@pytest.mark.needs_systemd
def test_systemd_has_nothing_to_say_against_the_unit(device: Path) -> None:
    assert verify(device, UNIT.read_text(encoding="utf-8")) == ""


@pytest.mark.needs_systemd
def test_a_mistyped_key_would_be_told(device: Path) -> None:
    unit = UNIT.read_text(encoding="utf-8").replace("WatchdogSec=", "WatchdogSecs=")
    assert "Unknown key 'WatchdogSecs' in section [Service]" in verify(device, unit)


@pytest.mark.needs_systemd
def test_a_program_elsewhere_would_be_told(device: Path) -> None:
    (device / PROGRAM).unlink()
    assert "is not executable" in verify(device, UNIT.read_text(encoding="utf-8"))


@pytest.mark.needs_systemd
def test_exposure_is_two_and_a_half_of_ten_at_most() -> None:
    done = analyze("security", "--offline=true", "--threshold=25", str(UNIT))
    assert "Overall exposure level for edge-agent.service" in done.stdout
    assert done.returncode == 0, done.stdout


@pytest.mark.needs_systemd
def test_a_unit_without_its_restrictions_would_exceed_that(tmp_path: Path) -> None:
    lines = UNIT.read_text(encoding="utf-8").splitlines()
    bare = tmp_path / UNIT.name
    bare.write_text("\n".join(line for line in lines if not line.startswith(("Protect", "Restrict"))), encoding="utf-8")
    assert analyze("security", "--offline=true", "--threshold=25", str(bare)).returncode != 0


def test_the_command_line_is_one_that_the_program_takes() -> None:
    _, *arguments = shlex.split(settings(UNIT)["ExecStart"][0])
    serve = commands.commands[arguments[0]]
    with serve.make_context("serve", arguments[1:]) as context:
        assert context.params["config_file"] == Path("/etc/edge-agent/config.yaml")


def test_open_answers_may_be_finished_before_systemd_loses_patience() -> None:
    assert ServerSection().drain_seconds == 30.0
    assert settings(UNIT)["TimeoutStopSec"] == ["75"]


def test_the_unit_never_gives_the_agent_up_and_never_takes_it_down_for_a_killed_engine() -> None:
    unit = settings(UNIT)
    assert (unit["Restart"], unit["StartLimitIntervalSec"], unit["OOMPolicy"]) == (["always"], ["0"], ["continue"])
    assert "RestartPreventExitStatus" not in unit


def test_sensors_and_device_nodes_are_not_hidden() -> None:
    unit = settings(UNIT)
    assert unit.keys().isdisjoint({"ProcSubset", "PrivateDevices", "PrivateUsers", "RootDirectory"})
    assert {"/dev/vcio rw", "/dev/vcio_gencmd rw", "char-gpiochip rw", "char-nvidia* rw"} <= set(unit["DeviceAllow"])


def test_the_module_that_makes_the_group_of_cudas_nodes_is_loaded_before_the_groups_are_looked_up() -> None:
    unit = settings(UNIT)
    assert "modprobe@nvidia_uvm.service" in unit["Wants"]
    assert "modprobe@nvidia_uvm.service" in unit["After"]
