"""The tuning of one model on this machine: its key, its record, and the search that makes the record.

Used by the service, which lets `auto_tuner` run it, and by the command line. Runs on the event loop.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from edge_agent.benchmark.measured_engine import BACKGROUND_ENGINE
from edge_agent.config import ModelSection
from edge_agent.device.snapshot import DeviceSnapshotSource
from edge_agent.errors import ModelError
from edge_agent.llama_cpp_version import llama_cpp_version
from edge_agent.models.digest_record import remember_digest
from edge_agent.models.store import ModelFile
from edge_agent.protocol import EngineSettings
from edge_agent.tuned_settings import TunedSettings
from edge_agent.tuning.candidates import changes, tuned_part
from edge_agent.tuning.digest import hash_file
from edge_agent.tuning.machine import cpu_model
from edge_agent.tuning.record import TuningKey, TuningRecord, TuningRecords, make_record
from edge_agent.tuning.search import Search
from edge_agent.tuning.tuner import ROUND_SECONDS, Tuner

logger = logging.getLogger(__name__)

# None: the default, with nothing measured.
SettingsFor = Callable[[TunedSettings | None], EngineSettings]


def recorded_choice(section: ModelSection, model_file: ModelFile, *, state_dir: Path) -> TunedSettings | None:
    """What was measured for this model on this machine. None: nothing yet, or the file's digest is not known."""
    if model_file.sha256 is None:
        return None
    record = tuning_records(state_dir).read(tuning_key(section, model_file.sha256))
    return None if record is None else record.settings


def tuning_records(state_dir: Path) -> TuningRecords:
    """All records of a service."""
    return TuningRecords(state_dir / "tuning")


def tuning_key(section: ModelSection, sha256: str, *, root: Path = Path("/")) -> TuningKey:
    """The key of a model on the machine that this process may use."""
    return TuningKey(
        model_sha256=sha256,
        cpu=cpu_model(root),
        num_cpus=len(os.sched_getaffinity(0)),
        llama_cpp_version=llama_cpp_version(),
        prefer=section.tune_prefer,
    )


class ModelTuning:
    """`settings_for` turns a choice into all of the engine's settings; what the user set goes before the choice.

    `fits` says whether memory holds an engine of such settings beside all that runs.
    """

    def __init__(
        self,
        section: ModelSection,
        model_file: ModelFile,
        *,
        settings_for: SettingsFor,
        records: TuningRecords,
        fits: Callable[[EngineSettings], bool],
        environ: Mapping[str, str],
        device: DeviceSnapshotSource,
        say: Callable[[str], None],
        command: Sequence[str] = BACKGROUND_ENGINE,
        round_seconds: float = ROUND_SECONDS,
        root: Path = Path("/"),
    ) -> None:
        self._section = section
        self._model_file = model_file
        self._settings_for = settings_for
        self._records = records
        self._fits = fits
        self._environ = environ
        self._device = device
        self._say = say
        self._command = command
        self._round_seconds = round_seconds
        self._root = root
        self._sha256 = model_file.sha256
        self._tuner: Tuner | None = None
        self._record: TuningRecord | None = None

    async def run(self) -> TunedSettings:
        """The recorded choice, measured now when there is none. Raises as `measure` does."""
        self._record = self._records.read(await self._key())
        if self._record is None:
            await self.measure()
        return self._kept().settings

    async def measure(self) -> TuningRecord:
        """Search to the end and keep the record; goes on where an earlier call was cancelled.

        Raises ModelFileError, ThrottledError, and EngineError or MeasurementError where nothing can be measured.
        """
        key = await self._key()
        if self._tuner is None:
            self._tuner = self._make_tuner()
        await self._tuner.run()
        self._record = make_record(key, self._tuner.search)
        logger.info("the model is tuned why=%s", self._record.why)
        await asyncio.to_thread(self._keep, self._record)
        return self._record

    def settings_for(self, choice: TunedSettings) -> EngineSettings:
        return self._settings_for(choice)

    def reject(self, reason: str) -> None:
        """Keep the default in place of the choice."""
        default = tuned_part(self._settings_for(None))
        logger.warning("the choice of tuning is not used, the default is reason=%s", reason)
        self._record = msgspec.structs.replace(self._kept(), settings=default, why=reason)
        self._keep(self._record)

    async def _key(self) -> TuningKey:
        if self._sha256 is None:
            self._sha256 = await hash_file(self._model_file.path)
            await asyncio.to_thread(self._note_digest, self._sha256)
        return tuning_key(self._section, self._sha256, root=self._root)

    def _note_digest(self, sha256: str) -> None:
        try:
            remember_digest(self._model_file.path, sha256)
        except (ModelError, OSError) as error:
            logger.warning("the model's digest is not kept, so the next start does not know its tuning: %s", error)

    def _make_tuner(self) -> Tuner:
        settings = self._settings_for(None)
        default = tuned_part(settings)
        search = Search(
            default,
            changes(self._section, default, max_batch_tokens=settings.max_batch_tokens),
            prefer=self._section.tune_prefer,
        )
        return Tuner(
            search,
            settings,
            environ=self._environ,
            fits=self._fits,
            device=self._device,
            say=self._say,
            command=self._command,
            round_seconds=self._round_seconds,
        )

    def _keep(self, record: TuningRecord) -> None:
        try:
            self._records.write(record)
        except ModelError as error:
            logger.warning("the result of tuning is lost with the next start: %s", error)

    def _kept(self) -> TuningRecord:
        if self._record is None:
            raise ValueError("nothing has been measured")
        return self._record
