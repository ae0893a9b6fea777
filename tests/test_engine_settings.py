"""What the engine is told: what the user set, then what was measured, then what is usual."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge_agent.config import Config, ModelSection, SchedulerSection
from edge_agent.engine_settings import (
    engine_settings,
    free_choices,
    memory_settings,
    num_physical_cores,
    with_memory_settings,
)
from edge_agent.models.memory_estimate import MemorySettings
from edge_agent.models.memory_plan import MemoryChoice
from edge_agent.models.store import ModelFile
from edge_agent.protocol import EngineSettings
from edge_agent.tuned_settings import TunedSettings

MODEL_FILE = ModelFile(alias="tiny", path=Path("/models/tiny.gguf"), size_bytes=1, sha256="ab" * 32)
STATE_DIR = Path("/state")
TUNED = TunedSettings(
    kv_cache_type="q8_0",
    flash_attention=True,
    micro_batch_tokens=128,
    repack=False,
    num_threads=3,
    num_threads_batch=4,
)


def settings_of(tuned: TunedSettings | None = None, **model: Any) -> EngineSettings:
    return engine_settings(Config(model=ModelSection(**model)), MODEL_FILE, state_dir=STATE_DIR, tuned=tuned)


def test_engine_settings_are_the_configuration_in_the_engines_units() -> None:
    config = Config(
        model=ModelSection(context_length=2048, kv_cache_type="q8_0", threads=3, gpu_layers=0, mlock=True),
        scheduler=SchedulerSection(max_sequences=2, target_inter_token_ms=125),
    )
    assert engine_settings(config, MODEL_FILE, state_dir=STATE_DIR) == EngineSettings(
        model_path="/models/tiny.gguf",
        context_length=2048,
        max_sequences=2,
        max_batch_tokens=512,
        max_step_seconds=5.0,
        target_inter_token_seconds=0.125,
        max_saved_prefix_bytes=64 * 1024 * 1024,
        max_draft_tokens=16,
        kv_cache_type="q8_0",
        flash_attention=True,
        micro_batch_tokens=512,
        repack=True,
        num_threads=3,
        num_threads_batch=3,
        num_gpu_layers=0,
        mmap=True,
        mlock=True,
        model_digest="ab" * 32,
        prefix_folder="/state/prefixes",
        max_disk_prefix_bytes=512 * 1024 * 1024,
    )


def test_a_digest_that_is_not_known_is_empty() -> None:
    unknown = msgspec.structs.replace(MODEL_FILE, sha256=None)
    assert engine_settings(Config(), unknown, state_dir=STATE_DIR).model_digest == ""


def test_what_is_left_open_is_what_was_measured() -> None:
    settings = settings_of(TUNED)
    assert (settings.kv_cache_type, settings.flash_attention, settings.micro_batch_tokens) == ("q8_0", True, 128)
    assert (settings.repack, settings.num_threads, settings.num_threads_batch) == (False, 3, 4)


def test_what_the_user_set_wins_over_what_was_measured() -> None:
    settings = settings_of(
        TUNED,
        kv_cache_type="f16",
        flash_attention=False,
        micro_batch_tokens=64,
        repack=True,
        threads=1,
        threads_batch=2,
    )
    assert (settings.kv_cache_type, settings.flash_attention, settings.micro_batch_tokens) == ("f16", False, 64)
    assert (settings.repack, settings.num_threads, settings.num_threads_batch) == (True, 1, 2)


def test_threads_that_the_user_set_hold_for_prefill_too() -> None:
    settings = settings_of(TUNED, threads=1)
    assert (settings.num_threads, settings.num_threads_batch) == (1, 1)


def test_q8_0_brings_the_attention_that_it_needs() -> None:
    tuned = msgspec.structs.replace(TUNED, kv_cache_type="f16", flash_attention=False)
    assert settings_of(tuned, kv_cache_type="q8_0").flash_attention


def test_plain_attention_leaves_a_measured_q8_0_behind() -> None:
    assert settings_of(TUNED, flash_attention=False).kv_cache_type == "f16"


def test_a_micro_batch_is_never_larger_than_a_step() -> None:
    config = Config(model=ModelSection(micro_batch_tokens=512), scheduler=SchedulerSection(max_batch_tokens=64))
    assert engine_settings(config, MODEL_FILE, state_dir=STATE_DIR).micro_batch_tokens == 64


# --- memory ------------------------------------------------------------------------------------------------------


def test_everything_left_open_and_the_context_may_be_given_up() -> None:
    assert free_choices(Config()) == frozenset(MemoryChoice)


@pytest.mark.parametrize(
    ("model", "kept"),
    [
        ({"repack": True}, MemoryChoice.REPACK),
        ({"micro_batch_tokens": 512}, MemoryChoice.MICRO_BATCH),
        ({"flash_attention": False}, MemoryChoice.FLASH_ATTENTION),
        ({"kv_cache_type": "f16"}, MemoryChoice.KV_CACHE_TYPE),
        ({"memory_fit": "refuse"}, MemoryChoice.CONTEXT_LENGTH),
    ],
)
def test_what_the_user_set_is_not_given_up(model: dict[str, Any], kept: MemoryChoice) -> None:
    assert free_choices(Config(model=ModelSection(**model))) == frozenset(MemoryChoice) - {kept}


def test_nothing_is_given_up_where_memory_is_to_be_ignored() -> None:
    assert free_choices(Config(model=ModelSection(memory_fit="ignore"))) == frozenset()


def test_memory_depends_on_these_of_the_settings() -> None:
    assert memory_settings(settings_of(TUNED, context_length=2048)) == MemorySettings(
        context_length=2048,
        # Four running, four held, one to save and load.
        num_sequence_ids=9,
        # A row of each running sequence and 16 drafted ones.
        num_output_rows=20,
        kv_cache_type="q8_0",
        flash_attention=True,
        micro_batch_tokens=128,
        repack=False,
        saved_prefix_bytes=64 * 1024 * 1024,
    )


def test_there_are_output_rows_for_every_sequence_id() -> None:
    settings = msgspec.structs.replace(settings_of(), max_draft_tokens=0)
    assert memory_settings(settings).num_output_rows == 9


def test_a_memory_plan_goes_back_into_the_settings() -> None:
    settings = settings_of()
    plan = msgspec.structs.replace(memory_settings(settings), context_length=1024, repack=False, micro_batch_tokens=128)
    assert with_memory_settings(settings, plan) == msgspec.structs.replace(
        settings, context_length=1024, repack=False, micro_batch_tokens=128
    )


# --- cores -------------------------------------------------------------------------------------------------------


def cpu_folder(tmp_path: Path, siblings: dict[int, str]) -> Path:
    for cpu, text in siblings.items():
        topology = tmp_path / f"cpu{cpu}" / "topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(text + "\n")
    return tmp_path


def test_hyperthreads_of_a_core_count_once(tmp_path: Path) -> None:
    folder = cpu_folder(tmp_path, {0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"})
    assert num_physical_cores(folder, usable={0, 1, 2, 3}) == 2


def test_cores_that_the_process_may_not_use_do_not_count(tmp_path: Path) -> None:
    folder = cpu_folder(tmp_path, {0: "0", 1: "1", 2: "2", 3: "3"})
    assert num_physical_cores(folder, usable={1, 2, 3}) == 3


def test_cpus_without_topology_count_as_cores(tmp_path: Path) -> None:
    assert num_physical_cores(tmp_path, usable={0, 1, 2, 3}) == 4
