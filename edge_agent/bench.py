"""The bench and the tuning that the command line runs, put together of their parts. Blocks until they are done.

What is measured and decided, the parts know; how it is shown, the command line.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from edge_agent.benchmark.bandwidth import measure_bandwidth
from edge_agent.benchmark.bench_report import BenchReport, ceiling
from edge_agent.benchmark.board_speeds import BoardMeasurement
from edge_agent.benchmark.heat import heat_between, is_held_back
from edge_agent.benchmark.measured_engine import measured_engine
from edge_agent.benchmark.speeds import MeasurementError
from edge_agent.config import Config
from edge_agent.device.board_collectors import board_collectors
from edge_agent.device.sampler import DeviceSampler
from edge_agent.device.sensor_files import SensorFiles
from edge_agent.device.snapshot import DeviceSnapshotSource
from edge_agent.engine_tuning import make_tuning, prepare_tuned_load
from edge_agent.models.catalog import shipped_catalog
from edge_agent.models.store import ModelStore
from edge_agent.tuning.candidates import tuned_part
from edge_agent.tuning.machine import cpu_model
from edge_agent.tuning.record import TuningRecord

# Sequences at once, as far as scheduler.max_sequences allows.
DECODE_LEVELS = (1, 2, 4, 8)
# A measurement of one combination, and of what it is compared with, is sixteen times this and two loads.
ROUNDS_A_TUNING_STEP = 20

logger = logging.getLogger(__name__)


class Bench:
    """One configured model on this machine. Raises ModelError from its constructor for a file that is not usable."""

    def __init__(
        self,
        config: Config,
        *,
        environ: Mapping[str, str],
        state_dir: Path,
        seconds: float,
        say: Callable[[str], None],
    ) -> None:
        folder = state_dir / "models" if config.models.dir is None else Path(config.models.dir).expanduser()
        store = ModelStore(folder=folder, catalog=shipped_catalog())
        model_file = store.resolve(name=config.model.name, path=config.model.path)
        self._tuned_load = prepare_tuned_load(config, model_file, state_dir=state_dir)
        self._tuned_load.load.check()
        self._model_alias = model_file.alias
        self._config = config
        self._environ = environ
        self._seconds = seconds
        self._say = say

    def measure(self) -> BenchReport:
        """With the settings that would serve. Raises EngineError or MeasurementError."""
        with _sampled(self._config) as device:
            bandwidth = self._bandwidth()
            return asyncio.run(self._measure(device, bandwidth=bandwidth))

    def tune(self) -> TuningRecord:
        """Measured anew, whatever is recorded. Raises EngineError or MeasurementError."""
        with _sampled(self._config) as device:
            tuning = make_tuning(
                self._config,
                self._tuned_load.facts,
                is_serving=False,
                environ=self._environ,
                device=device,
                say=self._say,
                round_seconds=self._seconds / ROUNDS_A_TUNING_STEP,
            )
            return asyncio.run(tuning.measure())

    async def _measure(self, device: DeviceSnapshotSource, *, bandwidth: float | None) -> BenchReport:
        settings = self._tuned_load.load.settings
        before = device()
        self._say("loading the model")
        async with measured_engine(settings, environ=self._environ) as engine:
            levels = [level for level in DECODE_LEVELS if level <= settings.max_sequences]
            measurement = BoardMeasurement(engine, seconds=self._seconds, say=self._say)
            speeds = await measurement.measure(decode_levels=levels)
            after = device()
        return BenchReport(
            model=self._model_alias,
            facts=engine.model,
            cpu=cpu_model(Path("/")),
            settings=tuned_part(settings),
            is_tuned=self._tuned_load.is_tuned,
            speeds=speeds,
            usage=engine.peak_usage,
            bandwidth_bytes_per_second=bandwidth,
            ceiling_tokens_per_second=ceiling(
                bandwidth_bytes_per_second=bandwidth, weight_bytes=engine.model.size_bytes
            ),
            heat=heat_between(before, after),
            is_held_back=is_held_back(before, after),
        )

    def _bandwidth(self) -> float | None:
        self._say("memory bandwidth")
        try:
            return measure_bandwidth(num_threads=self._tuned_load.load.settings.num_threads, environ=self._environ)
        except MeasurementError as error:
            logger.warning("the ceiling is not known: %s", error)
            return None


@contextlib.contextmanager
def _sampled(config: Config) -> Iterator[DeviceSnapshotSource]:
    """The board's sensors, read once a second on a thread for the length of the block."""
    files = SensorFiles(Path(config.device.root))
    sampler = DeviceSampler(
        board_collectors(files, folders=()), files=files, interval_seconds=config.device.interval_seconds
    )
    sampler.start()
    try:
        yield sampler.snapshot
    finally:
        sampler.close()
