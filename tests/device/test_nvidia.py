from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.device.board_tree import wait_until

pytestmark = pytest.mark.needs_compiler

HERE = Path(__file__).parent
GPU0 = {
    "handle": "0",
    "uuid": "GPU-11111111-2222-3333-4444-555555555555",
    "name": "NVIDIA RTX 2000 Ada",
    "utilization": "87",
    "memory_total": "17179869184",
    "memory_used": "4294967296",
    "temperature": "71",
    "power": "68500",
    "clock_graphics": "1620",
    "clock_memory": "8001",
    "reasons": "36",  # 0x4 power cap, 0x20 software's thermal slowdown
}
GPU1 = {"handle": "0", "uuid": "GPU-2", "name": "Orin", "utilization": "0", "temperature": "40"}


class Round(NamedTuple):
    """What one round found: values by metric and labels, errors, absences."""

    found: dict[str, float]
    errors: list[str]
    absences: list[str]

    def of(self, metric: str) -> dict[str, float]:
        return {name.removeprefix(metric): value for name, value in self.found.items() if name.startswith(metric)}


class Machine:
    """A machine with the stub's GPUs, and an agent on it whose rounds are asked for one by one."""

    def __init__(self, folder: Path, process: subprocess.Popen[str]) -> None:
        self.folder = folder
        self._process = process

    def put(self, **files: str | None) -> None:
        """Names as in gpu0__power; None takes the file away."""
        for name, content in files.items():
            path = self.folder / name.replace("__", "/")
            path.parent.mkdir(exist_ok=True)
            if content is None:
                path.unlink()
            else:
                path.write_text(content)

    def answer(self, now: float) -> object:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{now}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def round(self, now: float = 0.0) -> Round:
        answer = self.answer(now)
        assert isinstance(answer, list)
        return Round(*answer)

    def num_openings(self) -> int:
        return len((self.folder / "openings").read_text())


StartMachine = Callable[..., Machine]


def compile_stub(folder: Path, *flags: str) -> Path:
    library = folder / "libnvidia-ml.so.1"
    source = str(HERE / "nvml_stub.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-Wall", "-Werror", *flags, "-o", str(library), source], check=True)
    return folder


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_stub(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def start(tmp_path: Path, stub: Path) -> Iterator[StartMachine]:
    processes: list[subprocess.Popen[str]] = []

    def start_machine(library_folder: Path = stub, python_path: str = "") -> Machine:
        folder = tmp_path / "stub"
        folder.mkdir()
        environ = {
            **os.environ,
            "NVML_STUB": str(folder),
            "LD_LIBRARY_PATH": str(library_folder),
            "PYTHONPATH": python_path,
        }
        process = subprocess.Popen(
            [sys.executable, str(HERE / "nvidia_rounds.py")],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        machine = Machine(folder, process)
        machine.put(driver="550.54.15", count="2")
        machine.put(**{f"gpu0__{name}": content for name, content in GPU0.items()})
        machine.put(**{f"gpu1__{name}": content for name, content in GPU1.items()})
        return machine

    yield start_machine
    for process in processes:
        process.kill()
        process.communicate()


def test_a_gpu_is_told_in_base_units(start: StartMachine) -> None:
    told = start().round()
    assert {name: value for name, value in told.found.items() if "'gpu': '0'" in name} == {
        "gpu_info{'gpu': '0', 'uuid': 'GPU-11111111-2222-3333-4444-555555555555', 'name': 'NVIDIA RTX 2000 Ada', "
        "'driver': '550.54.15'}": 1,
        "gpu_utilization_ratio{'gpu': '0'}": 0.87,
        "gpu_memory_total_bytes{'gpu': '0'}": 17179869184,
        "gpu_memory_used_bytes{'gpu': '0'}": 4294967296,
        "gpu_temperature_celsius{'gpu': '0'}": 71,
        "gpu_power_watts{'gpu': '0'}": 68.5,
        "gpu_clock_hertz{'gpu': '0', 'clock': 'graphics'}": 1620000000,
        "gpu_clock_hertz{'gpu': '0', 'clock': 'memory'}": 8001000000,
        "gpu_throttle_active{'gpu': '0', 'reason': 'power_cap'}": 1,
        "gpu_throttle_active{'gpu': '0', 'reason': 'hw_slowdown'}": 0,
        "gpu_throttle_active{'gpu': '0', 'reason': 'sw_thermal'}": 1,
        "gpu_throttle_active{'gpu': '0', 'reason': 'hw_thermal'}": 0,
        "gpu_throttle_active{'gpu': '0', 'reason': 'power_brake'}": 0,
    }
    assert told.errors == []


def test_what_a_gpu_does_not_support_has_no_series(start: StartMachine) -> None:
    told = start().round()
    assert {name for name in told.found if "'gpu': '1'" in name} == {
        "gpu_info{'gpu': '1', 'uuid': 'GPU-2', 'name': 'Orin', 'driver': '550.54.15'}",
        "gpu_utilization_ratio{'gpu': '1'}",
        "gpu_temperature_celsius{'gpu': '1'}",
    }
    assert "nvml/gpu1/power: Not Supported" in told.absences
    assert told.errors == []


def test_what_may_not_be_asked_has_no_series(start: StartMachine) -> None:
    machine = start()
    machine.put(gpu0__power="error 4")
    told = machine.round()
    assert told.of("gpu_power_watts") == {}
    assert "nvml/gpu0/power: Insufficient Permissions" in told.absences
    assert told.errors == []


def test_a_lost_gpu_is_one_error_and_the_other_goes_on(start: StartMachine) -> None:
    machine = start()
    machine.round()
    machine.put(gpu0__handle="error 15")
    told = machine.round(now=1)
    assert told.errors == ["nvml/gpu0: GPU is lost"]
    assert told.of("gpu_temperature_celsius") == {"{'gpu': '1'}": 40}


def test_a_gpu_lost_before_the_start_is_told_once_it_is_back(start: StartMachine) -> None:
    machine = start()
    machine.put(gpu0__handle="error 15")
    assert machine.round().of("gpu_temperature_celsius") == {"{'gpu': '1'}": 40}
    machine.put(gpu0__handle="0")
    assert machine.round(now=1).of("gpu_temperature_celsius") == {"{'gpu': '0'}": 71, "{'gpu': '1'}": 40}


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("temperature", "4294966296", "nvml/gpu0/temperature: -1000, which no GPU has"),
        ("power", "4294967295", "nvml/gpu0/power: 4294967295, which no GPU has"),
        ("utilization", "101", "nvml/gpu0/utilization: 101, which no GPU has"),
        ("memory_used", "17179869185", "nvml/gpu0/memory: 17179869185, which no GPU has"),
        ("clock_graphics", "4294967295", "nvml/gpu0/clock_graphics: 4294967295, which no GPU has"),
        ("power", "error 999", "nvml/gpu0/power: Unknown Error"),
    ],
)
def test_nonsense_costs_its_own_series(start: StartMachine, file: str, content: str, problem: str) -> None:
    machine = start()
    machine.put(**{f"gpu0__{file}": content})
    told = machine.round()
    assert told.errors == [problem]
    assert "gpu_throttle_active{'gpu': '0', 'reason': 'power_cap'}" in told.found


def test_a_name_that_is_no_text_is_an_error(start: StartMachine) -> None:
    machine = start()
    (machine.folder / "gpu0" / "name").write_bytes(b"\xff\xfe")
    assert machine.round().errors == ["nvml/gpu0/name: not text"]


def test_an_older_driver_is_asked_by_the_older_names(start: StartMachine, tmp_path: Path) -> None:
    told = start(compile_stub(tmp_path, "-DOLD_DRIVER")).round()
    assert told.of("gpu_temperature_celsius") == {"{'gpu': '0'}": 71, "{'gpu': '1'}": 40}
    assert told.of("gpu_throttle_active")["{'gpu': '0', 'reason': 'power_cap'}"] == 1
    assert told.errors == []


def test_a_driver_that_is_loaded_anew_is_found_again(start: StartMachine) -> None:
    machine = start()
    machine.round(now=0)
    machine.put(driver="560.35.03")
    assert machine.round(now=1).errors == ["nvml/gpu0: Uninitialized", "nvml/gpu1: Uninitialized"]
    told = machine.round(now=2)
    assert told.errors == []
    assert "gpu_info{'gpu': '1', 'uuid': 'GPU-2', 'name': 'Orin', 'driver': '560.35.03'}" in told.found


def test_a_driver_that_stays_away_is_looked_for_less_and_less(start: StartMachine) -> None:
    machine = start()
    machine.round(now=0)
    machine.put(driver=None)
    for now in range(1, 61):
        told = machine.round(now=now)
        assert len(told.errors) >= 1
        assert told.found == {}
    # Opened at 0, then anew at 2, 4, 8, 16 and 32 s.
    assert machine.num_openings() == 6
    assert told.errors == ["nvml: NVIDIA's driver is not loaded; see whether nvidia-smi works"]


def test_a_driver_that_was_never_loaded_is_absent_until_it_is(start: StartMachine) -> None:
    machine = start()
    machine.put(driver=None)
    told = machine.round(now=0)
    assert told == Round({}, [], ["nvml: NVIDIA's driver is not loaded; see whether nvidia-smi works"])
    machine.put(driver="550.54.15")
    assert machine.round(now=1).of("gpu_power_watts") == {"{'gpu': '0'}": 68.5}


def test_library_and_driver_of_different_versions_are_an_error(start: StartMachine) -> None:
    machine = start()
    machine.put(driver="error 18")
    problem = "nvml: library and driver are of different versions; reboot after the update"
    assert machine.round() == Round({}, [problem], [])


def test_a_driver_without_gpus_is_absent(start: StartMachine) -> None:
    machine = start()
    machine.put(count="0")
    told = machine.round()
    assert told == Round({}, [], ["nvml: the driver knows no GPU; see whether nvidia-smi lists it"])


def test_without_the_library_there_are_no_series(start: StartMachine, tmp_path: Path) -> None:
    (tmp_path / "libnvidia-ml.so.1").write_text("no library")
    told = start(tmp_path).round()
    assert told == Round({}, [], ["nvml: there is no libnvidia-ml.so.1; install NVIDIA's driver"])


def test_without_pynvml_there_are_no_series(start: StartMachine, tmp_path: Path) -> None:
    (tmp_path / "pynvml.py").write_text("raise ModuleNotFoundError('no module named pynvml')")
    machine = start(python_path=str(tmp_path))
    told = machine.round(now=0)
    assert told == Round({}, [], ["nvml: pynvml cannot be imported; pip install 'edge-agent[nvidia]'"])
    (tmp_path / "pynvml.py").unlink()
    assert machine.round(now=3600) == told


def test_a_gpu_that_hangs_does_not_silence_the_other(start: StartMachine) -> None:
    machine = start()
    machine.round(now=0)
    machine.put(gpu0__hang="")
    assert machine.answer(1) == "given_up"
    told = machine.round(now=2)
    assert told.errors == ["nvml/gpu0: an earlier read has not come back; the driver or the device hangs"]
    assert told.of("gpu_temperature_celsius") == {"{'gpu': '1'}": 40}
    machine.put(gpu0__hang=None)
    wait_until(lambda: machine.round(now=3).errors == [])
    assert machine.round(now=4).of("gpu_temperature_celsius") == {"{'gpu': '0'}": 71, "{'gpu': '1'}": 40}
