"""Tuning of the configured model, put together of what measures, what decides and what fits: for service and bench.

The choice that was kept goes into what the engine is told; the default stands behind it, should it not load.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from edge_agent.config import Config
from edge_agent.device.snapshot import DeviceSnapshotSource
from edge_agent.engine_load import (
    EngineLoad,
    LoadFacts,
    decide_load,
    engine_share,
    fits_beside,
    log_load,
    memory_of_models,
    read_load_facts,
)
from edge_agent.engine_settings import memory_settings
from edge_agent.models.store import ModelFile
from edge_agent.protocol import EngineSettings
from edge_agent.tuning.auto_tuner import AutoTuner, ServingEngine
from edge_agent.tuning.model_tuning import ModelTuning, recorded_choice, tuning_records
from edge_agent.tuning.tuner import ROUND_SECONDS

logger = logging.getLogger(__name__)


class TunedLoad(Struct, frozen=True, kw_only=True):
    """What the engine is told, by the choice that was kept where there is one; `facts` are those it was decided on."""

    facts: LoadFacts
    load: EngineLoad
    # What to load with when `load` cannot be; None: nothing was tuned, so there is nothing else.
    fallback: EngineSettings | None

    @property
    def is_tuned(self) -> bool:
        return self.fallback is not None


def prepare_tuned_load(config: Config, model_file: ModelFile, *, state_dir: Path) -> TunedLoad:
    """Read, decide, and tell the log. Any thread but the event loop's."""
    facts = read_load_facts(config, model_file, state_dir=state_dir)
    tuned = recorded_choice(config.model, model_file, state_dir=state_dir)
    load = decide_load(config, facts, tuned=tuned)
    log_load(load)
    return TunedLoad(facts=facts, load=load, fallback=None if tuned is None else decide_load(config, facts).settings)


def make_tuning(
    config: Config,
    facts: LoadFacts,
    *,
    is_serving: bool,
    environ: Mapping[str, str],
    device: DeviceSnapshotSource,
    say: Callable[[str], None],
    round_seconds: float = ROUND_SECONDS,
) -> ModelTuning:
    """The tuning of the model that `facts` are of. `is_serving`: an engine holds it meanwhile."""
    fits = _fits_beside_service if is_serving else _fits_alone
    return ModelTuning(
        config.model,
        facts.model_file,
        settings_for=lambda tuned: decide_load(config, facts, tuned=tuned).settings,
        records=tuning_records(facts.state_dir),
        fits=lambda settings: fits(config, facts, settings),
        environ=environ,
        device=device,
        say=say,
        round_seconds=round_seconds,
    )


def auto_tuner(
    config: Config,
    prepared: TunedLoad,
    *,
    engine: ServingEngine,
    environ: Mapping[str, str],
    device: DeviceSnapshotSource,
) -> AutoTuner | None:
    """Who tunes the model while it serves; None where nobody is to, or it is done."""
    if config.model.tune == "never" or prepared.is_tuned or prepared.load.error is not None:
        return None
    tuning = make_tuning(config, prepared.facts, is_serving=True, environ=environ, device=device, say=_log_progress)
    return AutoTuner(engine, tuning)


def _log_progress(text: str) -> None:
    logger.info("tuning goes on, measured: %s", text)


def _fits_beside_service(config: Config, facts: LoadFacts, settings: EngineSettings) -> bool:
    """Not where it cannot be told: the service goes first."""
    memory = memory_of_models(config, Path("/"))
    return memory is not None and facts.needs is not None and fits_beside(facts.needs, settings, memory)


def _fits_alone(config: Config, facts: LoadFacts, settings: EngineSettings) -> bool:
    memory = memory_of_models(config, Path("/"))
    if memory is None or facts.needs is None:
        return True
    return facts.needs.estimate(memory_settings(settings)).engine_total_bytes <= engine_share(memory)
