"""One document says how the device, the model, the engine and the queue are, whatever state they are in."""

from __future__ import annotations

import msgspec

from edge_agent.device.reading import Reading
from edge_agent.device.snapshot import DeviceSnapshot
from edge_agent.device.thermal_state import ThermalState
from edge_agent.engine_client.listener import EndCause, EngineState
from edge_agent.protocol import SequenceReport
from tests.api.fake_engine import FakeEngine, finished
from tests.api.service import Service, serving
from tests.telemetry.scripted_engine import step

PI_5 = DeviceSnapshot(
    readings=(
        Reading(
            "device_info",
            1.0,
            (("board", "Raspberry Pi 5 Model B"), ("os", "Debian 12"), ("kernel", "6.12.47"), ("firmware", "")),
        ),
        Reading("temperature_celsius", 84.5, (("sensor", "cpu-thermal"),)),
        Reading("temperature_celsius", 61.0, (("sensor", "rp1_adc/temp1"),)),
        Reading("throttle_active", 1.0, (("flag", "throttled"),)),
        Reading("throttle_active", 0.0, (("flag", "under_voltage"),)),
        Reading("cpu_frequency_hertz", 1.5e9, (("cpu", "0"),)),
        Reading("cpu_frequency_max_hertz", 2.4e9, (("cpu", "0"),)),
        Reading("fan_speed_rpm", 7500.0, (("fan", "pwmfan"),)),
        Reading("memory_total_bytes", 8e9),
        Reading("memory_available_bytes", 3e9),
        Reading("swap_used_bytes", 0.0),
        Reading("boot_timestamp_seconds", 1_700_000_000.0),
        Reading("filesystem_size_bytes", 3e10, (("mountpoint", "/var/lib/secret-place"),)),
    ),
    thermal_state=ThermalState.THROTTLED,
)

GPU = DeviceSnapshot(
    readings=(
        Reading("gpu_info", 1.0, (("gpu", "0"), ("uuid", "GPU-1"), ("name", "Orin"), ("driver", "540"))),
        Reading("gpu_temperature_celsius", 71.0, (("gpu", "0"),)),
        Reading("gpu_memory_used_bytes", 2e9, (("gpu", "0"),)),
        Reading("gpu_memory_total_bytes", 8e9, (("gpu", "0"),)),
        Reading("gpu_throttle_active", 1.0, (("gpu", "0"), ("reason", "sw_thermal"))),
        Reading("gpu_throttle_active", 0.0, (("gpu", "1"), ("reason", "sw_thermal"))),
    )
)


async def status_of(service: Service) -> dict[str, object]:
    status, text = await service.get("/status")
    assert status == 200
    return msgspec.json.decode(text, type=dict[str, object])


async def test_the_board_is_told_by_its_sensors() -> None:
    async with serving(FakeEngine(), device=PI_5) as service:
        status = await status_of(service)
    assert status["device"] == {
        "instance": "edge-1",
        "board": "Raspberry Pi 5 Model B",
        "os": "Debian 12",
        "kernel": "6.12.47",
        "boot_timestamp_seconds": 1_700_000_000.0,
        "thermal_state": "throttled",
        "throttle": {"throttled": True, "under_voltage": False},
        "temperatures_celsius": {"cpu-thermal": 84.5, "rp1_adc/temp1": 61.0},
        "cpu_frequency_hertz": {"0": 1.5e9},
        "cpu_frequency_max_hertz": {"0": 2.4e9},
        "fan_speed_rpm": {"pwmfan": 7500.0},
        "memory": {"total_bytes": 8e9, "available_bytes": 3e9, "swap_used_bytes": 0.0},
        "gpus": {},
    }


async def test_a_machine_without_sensors_is_told_as_one() -> None:
    async with serving(FakeEngine()) as service:
        status = await status_of(service)
    assert status["device"] == {
        "instance": "edge-1",
        "board": None,
        "os": None,
        "kernel": None,
        "boot_timestamp_seconds": None,
        "thermal_state": "nominal",
        "throttle": {},
        "temperatures_celsius": {},
        "cpu_frequency_hertz": {},
        "cpu_frequency_max_hertz": {},
        "fan_speed_rpm": {},
        "memory": {"total_bytes": None, "available_bytes": None, "swap_used_bytes": None},
        "gpus": {},
    }


async def test_each_gpu_is_told_apart() -> None:
    async with serving(FakeEngine(), device=GPU) as service:
        status = await status_of(service)
    assert isinstance(status["device"], dict)
    assert status["device"]["gpus"] == {
        "0": {
            "name": "Orin",
            "temperature_celsius": 71.0,
            "utilization_ratio": None,
            "memory_used_bytes": 2e9,
            "memory_total_bytes": 8e9,
            "power_watts": None,
            "throttle": {"sw_thermal": True},
        }
    }


async def test_the_loaded_model_and_the_queue_are_told() -> None:
    engine = FakeEngine()
    engine.num_running, engine.num_waiting = 4, 7
    async with serving(engine) as service:
        status = await status_of(service)
    assert status["model"] == {
        "alias": "smollm2-135m-instruct",
        "architecture": "llama",
        "quantization": "Q4_1",
        "parameters": 134_515_008,
        "size_bytes": 98_000_000,
        "context_length": 2048,
        "trained_context_length": 2048,
        "gpu_layers": 0,
        "load_seconds": 0.5,
    }
    assert status["queue"] == {"running": 4, "waiting": 7, "max_sequences": 4, "size": 32}
    assert status["engine"] == {
        "state": "ready",
        "load_progress": None,
        "restarts": {"crash": 0, "oom": 0, "stall": 0, "load_failed": 0},
    }
    assert (status["version"], status["uptime_seconds"]) == ("0.1.0", 0.0)


async def test_an_engine_that_is_away_is_told_with_its_past() -> None:
    engine = FakeEngine()
    engine.state, engine.load_progress, engine.model = EngineState.RESTARTING, 0.25, None
    async with serving(engine) as service:
        service.telemetry.engine.engine_ended(EndCause.OOM)
        service.telemetry.engine.engine_ended(EndCause.OOM)
        service.telemetry.engine.engine_ended(EndCause.CRASH)
        status = await status_of(service)
    assert status["engine"] == {
        "state": "restarting",
        "load_progress": 0.25,
        "restarts": {"crash": 1, "oom": 2, "stall": 0, "load_failed": 0},
    }
    assert isinstance(status["model"], dict)
    assert status["model"]["alias"] == "smollm2-135m-instruct"
    assert status["model"]["architecture"] is None


async def test_no_path_and_no_error_that_may_hold_one_is_told() -> None:
    engine = FakeEngine()
    engine.state, engine.load_error = EngineState.LOAD_FAILED, "/var/lib/secret-place/bad.gguf is no GGUF"
    async with serving(engine, device=PI_5) as service:
        _, text = await service.get("/status")
    assert "secret-place" not in text


async def test_the_last_minute_counts_what_the_engine_reported() -> None:
    decode = step(SequenceReport(id=1, tokens=[5, 6], previous_token=1.0), started=1.0, ended=1.5, num_decode_rows=2)
    async with serving(FakeEngine()) as service:
        service.telemetry.engine.report(decode)
        service.telemetry.engine.finished(finished())
        service.telemetry.engine.sequences_lost(2)
        status = await status_of(service)
    assert isinstance(status["last_minute"], dict)
    assert status["last_minute"]["generated_tokens"] == 2
    assert status["last_minute"]["decode_tokens_per_second"] == 4.0
    assert status["last_minute"]["inter_token_latency_max_seconds"] == 0.25
    assert status["last_minute"]["requests_finished"] == 3


async def test_no_cache_keeps_a_status() -> None:
    async with serving(FakeEngine()) as service, service.http.get("/status") as response:
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["Content-Type"] == "application/json"
