"""What the service is told of tuning: which settings it loads with, and whether anything is tuned at all."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from edge_agent.config import Config, ModelSection
from edge_agent.device.snapshot import no_device
from edge_agent.engine_client.client import EngineClient
from edge_agent.engine_tuning import TunedLoad, auto_tuner, prepare_tuned_load
from edge_agent.models.store import ModelFile
from edge_agent.tuned_settings import TunedSettings
from edge_agent.tuning.auto_tuner import AutoTuner
from edge_agent.tuning.candidates import tuned_part
from edge_agent.tuning.model_tuning import tuning_key, tuning_records
from edge_agent.tuning.record import TuningRecord
from tests.engine_client.recording_listener import RecordingListener

CHOICE = TunedSettings(
    kv_cache_type="q8_0",
    flash_attention=True,
    micro_batch_tokens=128,
    repack=False,
    num_threads=1,
    num_threads_batch=2,
)


@pytest.fixture
def model_file(smollm2_path: Path) -> ModelFile:
    return ModelFile(alias="tiny", path=smollm2_path, size_bytes=smollm2_path.stat().st_size, sha256="ab" * 32)


def keep_choice(state_dir: Path) -> None:
    key = tuning_key(ModelSection(), "ab" * 32)
    tuning_records(state_dir).write(TuningRecord(key=key, settings=CHOICE, why="it was faster", trials=[]))


def tuner_of(prepared: TunedLoad, *, tune: Literal["auto", "never"] = "auto") -> AutoTuner | None:
    engine = EngineClient(prepared.load.settings, listener=RecordingListener(), queue_size=1)
    return auto_tuner(Config(model=ModelSection(tune=tune)), prepared, engine=engine, environ={}, device=no_device)


def test_without_a_record_the_default_serves_and_is_tuned(tmp_path: Path, model_file: ModelFile) -> None:
    prepared = prepare_tuned_load(Config(), model_file, state_dir=tmp_path)
    assert tuned_part(prepared.load.settings).kv_cache_type == "f16"
    assert prepared.fallback is None
    assert tuner_of(prepared) is not None


def test_a_kept_choice_serves_with_the_default_behind_it_and_is_not_tuned_again(
    tmp_path: Path, model_file: ModelFile
) -> None:
    keep_choice(tmp_path)
    prepared = prepare_tuned_load(Config(), model_file, state_dir=tmp_path)
    assert tuned_part(prepared.load.settings) == CHOICE
    assert prepared.fallback is not None
    assert prepared.fallback.kv_cache_type == "f16"
    assert tuner_of(prepared) is None


def test_what_the_user_set_goes_before_the_choice(tmp_path: Path, model_file: ModelFile) -> None:
    keep_choice(tmp_path)
    config = Config(model=ModelSection(kv_cache_type="f16", threads=3))
    settings = prepare_tuned_load(config, model_file, state_dir=tmp_path).load.settings
    assert (settings.kv_cache_type, settings.num_threads, settings.num_threads_batch) == ("f16", 3, 3)
    assert (settings.repack, settings.micro_batch_tokens) == (False, 128)


def test_nothing_is_tuned_where_the_configuration_says_never(tmp_path: Path, model_file: ModelFile) -> None:
    prepared = prepare_tuned_load(Config(), model_file, state_dir=tmp_path)
    assert tuner_of(prepared, tune="never") is None


def test_nothing_is_tuned_where_the_file_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"not a model")
    broken = ModelFile(alias="tiny", path=tmp_path / "model.gguf", size_bytes=11, sha256=None)
    prepared = prepare_tuned_load(Config(), broken, state_dir=tmp_path)
    assert prepared.load.error is not None
    assert tuner_of(prepared) is None
