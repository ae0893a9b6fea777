"""An engine that says what a test tells it to: protocol structs with few words, a clock that stands still."""

from __future__ import annotations

from edge_agent.device.snapshot import DeviceSnapshot, DeviceSnapshotSource, no_device
from edge_agent.device.thermal_state import ThermalStateSource
from edge_agent.protocol import EngineUsage, Idle, KvCells, ModelFacts, Report, SequenceReport, SequenceTimes
from edge_agent.telemetry.telemetry import Telemetry, build_telemetry

NO_CELLS = KvCells(used=0, cached=0, capacity=0)

FACTS = ModelFacts(
    architecture="llama",
    quantization="Q4_1",
    num_parameters=134515008,
    size_bytes=98000000,
    context_length=2048,
    trained_context_length=2048,
    kv_cells=4096,
    vocabulary_size=49152,
    max_batch_tokens=512,
    num_gpu_layers=0,
    load_seconds=1.5,
    llama_cpp_version="0.3.36",
)


class FakeClock:
    """Time as the test sets it."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def telemetry_of(
    *,
    file_sha256: str = "",
    device: DeviceSnapshotSource = no_device,
    monotonic_now: float = 100.0,
    wall_now: float = 1_700_000_000.0,
) -> Telemetry:
    """Telemetry of a model called tiny, at fixed times."""
    return build_telemetry(
        model_alias="tiny",
        version="9.8.7",
        file_sha256=file_sha256,
        device=device,
        monotonic_clock=FakeClock(monotonic_now),
        wall_clock=FakeClock(wall_now),
    )


def held_back_as(thermal_state: ThermalStateSource) -> DeviceSnapshotSource:
    """A board without sensors that is in these states."""
    return lambda: DeviceSnapshot(thermal_state=thermal_state())


def step(
    *sequences: SequenceReport,
    started: float,
    ended: float,
    num_prefill_rows: int = 0,
    num_decode_rows: int = 0,
    kv: KvCells = NO_CELLS,
    usage: EngineUsage | None = None,
) -> Report:
    return Report(
        started=started,
        ended=ended,
        num_prefill_rows=num_prefill_rows,
        num_decode_rows=num_decode_rows,
        kv=kv,
        num_running=0,
        num_waiting=0,
        sequences=list(sequences),
        usage=usage,
    )


def idle(*, at: float, cpu_seconds: float = 0.0, kv: KvCells = NO_CELLS) -> Idle:
    return Idle(at=at, kv=kv, usage=EngineUsage(resident_bytes=0, private_bytes=0, cpu_seconds=cpu_seconds))


def times(
    *,
    arrived: float,
    scheduled: float | None = None,
    first_token: float | None = None,
    last_token: float | None = None,
) -> SequenceTimes:
    return SequenceTimes(
        arrived=arrived, queued=arrived, scheduled=scheduled, first_token=first_token, last_token=last_token
    )


def scrape(telemetry: Telemetry) -> dict[str, float]:
    """What /metrics shows of the agent's own series: the text before the value, without the prefix, to the value."""
    text = telemetry.exposition.render("")[0].decode()
    samples = (line.rpartition(" ") for line in text.splitlines() if line.startswith("edge_agent_"))
    return {series.removeprefix("edge_agent_"): float(value) for series, _, value in samples}


def count_and_sum(shown: dict[str, float], histogram: str) -> tuple[float, float]:
    """Of a histogram whose only label is the model."""
    return shown[f'{histogram}_count{{model="tiny"}}'], shown[f'{histogram}_sum{{model="tiny"}}']
