"""Before the engine starts: the model's header against the memory of a machine that is a tree of files."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from edge_agent.config import Config, ModelSection, SchedulerSection
from edge_agent.engine_load import EngineLoad, LoadFacts, decide_load, fits_beside, log_load, read_load_facts
from edge_agent.errors import ModelFileError, ModelTooLargeError
from edge_agent.models.machine_memory import MachineMemory
from edge_agent.models.memory_estimate import ModelWeights
from edge_agent.models.memory_plan import MemoryChoice, ModelNeeds
from edge_agent.models.store import ModelFile
from edge_agent.tuned_settings import TunedSettings
from tests.models.shapes import QWEN3_4B

MIB = 1024 * 1024
STATE_DIR = Path("/state")
MODEL_FILE = ModelFile(alias="four-b", path=Path("/models/four-b.gguf"), size_bytes=2_495_737_920, sha256=None)
# Qwen3-4B in Q4_K_M.
NEEDS = ModelNeeds(
    shape=QWEN3_4B,
    weights=ModelWeights(file_bytes=2_495_737_920, repacked_bytes=1_765_048_320),
)


def facts(available_mib: int | None) -> LoadFacts:
    available_bytes = None if available_mib is None else available_mib * MIB
    return LoadFacts(model_file=MODEL_FILE, state_dir=STATE_DIR, needs=NEEDS, available_bytes=available_bytes)


def load(available_mib: int | None, *, tuned: TunedSettings | None = None, **model: Any) -> EngineLoad:
    config = Config(model=ModelSection(**model), scheduler=SchedulerSection(max_sequences=2))
    return decide_load(config, facts(available_mib), tuned=tuned)


def test_a_large_machine_loads_as_is_preferred() -> None:
    decided = load(8000)
    decided.check()
    assert (decided.settings, decided.reduced) == (decided.preferred, ())
    assert (decided.settings.repack, decided.settings.kv_cache_type) == (True, "f16")
    assert not decided.is_too_large


def test_a_board_of_four_gigabytes_keeps_the_context_and_gives_up_the_copy_of_the_weights() -> None:
    decided = load(3400)
    decided.check()
    assert decided.reduced == (MemoryChoice.REPACK,)
    assert decided.settings.context_length == 4096


def test_beside_the_weights_the_estimate_is_within_a_tenth_of_what_was_seen() -> None:
    decided = load(3400, kv_cache_type="q8_0", repack=False, micro_batch_tokens=128)
    assert decided.estimate is not None
    # Both processes after a prompt of 2,000 tokens had 448 MB of their own and 15 MB of libraries, no prefix saved yet.
    seen_bytes = 448_000_000 + 15_000_000 + 64 * MIB
    assert decided.estimate.total_bytes - decided.estimate.weight_bytes == pytest.approx(seen_bytes, rel=0.1)


def test_less_memory_shortens_the_context() -> None:
    decided = load(2800)
    decided.check()
    assert (decided.settings.context_length, decided.settings.kv_cache_type) == (3072, "q8_0")
    assert MemoryChoice.CONTEXT_LENGTH in decided.reduced


def test_a_measured_choice_is_reduced_like_any_other() -> None:
    tuned = TunedSettings(
        kv_cache_type="f16",
        flash_attention=True,
        micro_batch_tokens=256,
        repack=True,
        num_threads=2,
        num_threads_batch=2,
    )
    decided = load(3400, tuned=tuned)
    assert (decided.settings.repack, decided.settings.micro_batch_tokens) == (False, 256)


def test_too_little_memory_is_refused_with_the_numbers() -> None:
    decided = load(2500)
    with pytest.raises(ModelTooLargeError) as refused:
        decided.check()
    assert str(refused.value) == (
        "four-b needs 2.76 GB of memory (2.50 GB weights, 80 MB KV cache for 1024 tokens in q8_0, 187 MB other), "
        "and 2.62 GB are available: end other programs, raise the limit of this service, take a smaller model or a "
        "shorter model.context_length, or set model.memory_fit to ignore; then restart edge-agent"
    )


def test_a_context_that_must_stay_is_refused_instead_of_shortened() -> None:
    decided = load(2800, memory_fit="refuse")
    assert decided.settings.context_length == 4096
    with pytest.raises(ModelTooLargeError, match="KV cache for 4096 tokens"):
        decided.check()


def test_memory_that_is_to_be_ignored_changes_and_refuses_nothing() -> None:
    decided = load(100, memory_fit="ignore")
    decided.check()
    assert (decided.settings, decided.is_too_large) == (decided.preferred, True)


def test_memory_that_is_not_known_changes_and_refuses_nothing() -> None:
    decided = load(None)
    decided.check()
    assert (decided.settings, decided.is_too_large) == (decided.preferred, False)
    assert decided.estimate is not None


def test_a_second_engine_shares_the_mapped_weights_only() -> None:
    settings = load(None, kv_cache_type="q8_0", repack=False, micro_batch_tokens=128).settings
    memory = MachineMemory(total_bytes=4000 * MIB, available_bytes=700 * MIB, cgroup_limit_bytes=None)
    assert fits_beside(NEEDS, settings, memory)
    assert not fits_beside(NEEDS, load(None, kv_cache_type="q8_0", repack=True).settings, memory)
    assert not fits_beside(NEEDS, load(None, kv_cache_type="q8_0", repack=False, mmap=False).settings, memory)


# --- what is read ------------------------------------------------------------------------------------------------


def machine(root: Path) -> Path:
    (root / "proc").mkdir()
    (root / "proc/meminfo").write_text("MemTotal: 4000000 kB\nMemAvailable: 1000000 kB\n")
    (root / "proc/cpuinfo").write_text("flags : avx2\n")
    return root


def model_file(path: Path) -> ModelFile:
    return ModelFile(alias="small", path=path, size_bytes=path.stat().st_size, sha256=None)


def test_the_header_and_the_machine_are_read(smollm2_path: Path, tmp_path: Path) -> None:
    config = Config(model=ModelSection(gpu_layers=0))
    found = read_load_facts(config, model_file(smollm2_path), state_dir=tmp_path, root=machine(tmp_path))
    assert found.needs is not None
    assert found.needs.shape.num_layers == 30
    # Its weights are q4_1 and q8_0, of which AVX2 rearranges none.
    assert found.needs.weights == ModelWeights(file_bytes=98362432, repacked_bytes=0)
    # 64 MiB of what is available are left to others.
    assert found.available_bytes == 1_000_000 * 1024 - 64 * MIB


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "page.gguf"
    path.write_text("<!doctype html>")
    found = read_load_facts(Config(), model_file(path), state_dir=tmp_path, root=machine(tmp_path))
    decided = decide_load(Config(), found)
    assert decided.estimate is None
    with pytest.raises(ModelFileError, match="does not start as a GGUF file does"):
        decided.check()


def test_a_machine_that_does_not_tell_is_unknown(smollm2_path: Path, tmp_path: Path) -> None:
    found = read_load_facts(Config(), model_file(smollm2_path), state_dir=tmp_path, root=tmp_path)
    assert found.available_bytes is None


# --- the log -----------------------------------------------------------------------------------------------------


def logged(caplog: pytest.LogCaptureFixture, decided: EngineLoad) -> list[tuple[str, str]]:
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="edge_agent.engine_load"):
        log_load(decided)
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_the_log_has_what_is_needed_and_what_was_reduced(caplog: pytest.LogCaptureFixture) -> None:
    assert logged(caplog, load(2800)) == [
        (
            "INFO",
            "memory is estimated needed=2.92 GB available=2.94 GB weights=2.50 GB repacked=0 B kv_cache=241 MB "
            "compute=34 MB saved_prefixes=67 MB",
        ),
        (
            "WARNING",
            "settings are reduced to fit the memory that is available: repack=false (true was wanted) "
            "micro_batch_tokens=128 (512 was wanted) kv_cache_type=q8_0 (f16 was wanted) "
            "context_length=3072 (4096 was wanted)",
        ),
    ]


def test_the_log_has_no_warning_where_nothing_was_reduced(caplog: pytest.LogCaptureFixture) -> None:
    assert [level for level, _ in logged(caplog, load(8000))] == ["INFO"]
    assert [level for level, _ in logged(caplog, load(2500))] == ["INFO"]


def test_the_log_says_that_memory_is_ignored(caplog: pytest.LogCaptureFixture) -> None:
    assert logged(caplog, load(100, memory_fit="ignore"))[1:] == [
        ("WARNING", "more memory is needed than is available, and model.memory_fit says to ignore it")
    ]
