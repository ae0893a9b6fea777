"""One model's tuning from its file to its record, in front of engine processes whose speeds are made up."""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

import pytest

from edge_agent.config import ModelSection
from edge_agent.device.snapshot import no_device
from edge_agent.errors import ModelFileError
from edge_agent.models.digest_record import recorded_digest
from edge_agent.models.store import ModelFile
from edge_agent.protocol import EngineSettings
from edge_agent.tuned_settings import TunedSettings
from edge_agent.tuning.candidates import with_tuned
from edge_agent.tuning.model_tuning import ModelTuning, recorded_choice, tuning_key, tuning_records
from tests.engine_client.scripted_engine import make_settings
from tests.tuning.choices import DEFAULT, changed
from tests.tuning.measured import Scenario, read_journal, write_scenario

# Only repacking is left to vary.
SECTION = ModelSection(kv_cache_type="f16", flash_attention=True, micro_batch_tokens=32, threads=4)
WITHOUT_REPACKING = Scenario(factors={"repack=false": [0.5, 0.5]})
SHA256 = hashlib.sha256(b"GGUF").hexdigest()


@pytest.fixture
def model_file(tmp_path: Path) -> ModelFile:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    return ModelFile(alias="tiny", path=path, size_bytes=4, sha256=SHA256)


def settings_for(tuned: TunedSettings | None) -> EngineSettings:
    return with_tuned(make_settings(), tuned or DEFAULT)


def make_tuning(folder: Path, model_file: ModelFile, scenario: Scenario = WITHOUT_REPACKING) -> ModelTuning:
    return ModelTuning(
        SECTION,
        model_file,
        settings_for=settings_for,
        records=tuning_records(folder / "state"),
        fits=lambda settings: True,
        environ=os.environ,
        device=no_device,
        say=lambda text: None,
        command=write_scenario(folder, scenario),
    )


def choice(folder: Path, model_file: ModelFile, section: ModelSection = SECTION) -> TunedSettings | None:
    return recorded_choice(section, model_file, state_dir=folder / "state")


async def test_the_choice_is_kept_and_known_at_the_next_start(tmp_path: Path, model_file: ModelFile) -> None:
    assert choice(tmp_path, model_file) is None
    assert await make_tuning(tmp_path, model_file).run() == changed(repack=False)
    assert choice(tmp_path, model_file) == changed(repack=False)


async def test_what_is_recorded_is_not_measured_again(tmp_path: Path, model_file: ModelFile) -> None:
    await make_tuning(tmp_path, model_file).run()
    num_processes = len(read_journal(tmp_path))
    assert await make_tuning(tmp_path, model_file).run() == changed(repack=False)
    assert len(read_journal(tmp_path)) == num_processes == 3


async def test_a_measurement_that_is_asked_for_is_made_and_replaces_the_record(
    tmp_path: Path, model_file: ModelFile
) -> None:
    await make_tuning(tmp_path, model_file).run()
    record = await make_tuning(tmp_path, model_file, Scenario()).measure()
    assert record.settings == DEFAULT
    assert choice(tmp_path, model_file) == DEFAULT


async def test_a_choice_holds_for_what_was_preferred(tmp_path: Path, model_file: ModelFile) -> None:
    await make_tuning(tmp_path, model_file).run()
    other = ModelSection(tune_prefer="decode")
    assert choice(tmp_path, model_file, other) is None


async def test_a_rejected_choice_leaves_the_default_on_record(tmp_path: Path, model_file: ModelFile) -> None:
    tuning = make_tuning(tmp_path, model_file)
    await tuning.run()
    tuning.reject("it could not be loaded")
    record = tuning_records(tmp_path / "state").read(tuning_key(SECTION, SHA256))
    assert record is not None
    assert (record.settings, record.why, len(record.trials)) == (DEFAULT, "it could not be loaded", 1)


async def test_a_file_of_unknown_digest_is_read_once_for_it(tmp_path: Path, model_file: ModelFile) -> None:
    unknown = ModelFile(alias="tiny", path=model_file.path, size_bytes=4, sha256=None)
    assert choice(tmp_path, unknown) is None
    await make_tuning(tmp_path, unknown).run()
    assert recorded_digest(model_file.path) == SHA256
    assert choice(tmp_path, model_file) == changed(repack=False)


async def test_a_file_that_is_gone_is_an_error(tmp_path: Path, model_file: ModelFile) -> None:
    gone = ModelFile(alias="tiny", path=tmp_path / "gone.gguf", size_bytes=4, sha256=None)
    with pytest.raises(ModelFileError, match="cannot be read"):
        await make_tuning(tmp_path, gone).run()


async def test_a_result_that_cannot_be_kept_is_used_all_the_same(
    tmp_path: Path, model_file: ModelFile, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").write_text("a file")
    with caplog.at_level(logging.WARNING):
        assert await make_tuning(tmp_path, model_file).run() == changed(repack=False)
    assert "lost with the next start" in caplog.text


def test_nothing_is_rejected_before_anything_was_chosen(tmp_path: Path, model_file: ModelFile) -> None:
    with pytest.raises(ValueError, match="nothing has been measured"):
        make_tuning(tmp_path, model_file).reject("it could not be loaded")


def test_a_key_is_of_this_machine() -> None:
    key = tuning_key(SECTION, SHA256)
    assert (key.model_sha256, key.num_cpus, key.prefer) == (SHA256, len(os.sched_getaffinity(0)), "balanced")
