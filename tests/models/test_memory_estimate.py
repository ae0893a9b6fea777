"""The estimate's parts, worked out by hand, and how near they come to what llama.cpp allocates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from edge_agent.engine_settings import memory_settings
from edge_agent.models.gguf_header import read_header
from edge_agent.models.memory_estimate import (
    MemorySettings,
    ModelWeights,
    compute_buffer_bytes,
    estimate_memory,
    kv_cache_bytes,
)
from edge_agent.models.repacking import repacked_bytes, repacked_types
from edge_agent.models.shape import ModelShape
from tests.engine.engine_under_test import settings_for
from tests.models.llama_buffers import read_llama_buffers
from tests.models.shapes import QWEN3_4B

MIB = 1024 * 1024
SHAPE = ModelShape(
    num_layers=2,
    embedding_length=64,
    num_kv_heads=2,
    key_length=16,
    value_length=16,
    vocabulary_size=1000,
    trained_context_length=512,
)
WINDOWED = ModelShape(
    num_layers=3,
    embedding_length=64,
    num_kv_heads=1,
    key_length=32,
    value_length=32,
    vocabulary_size=1000,
    trained_context_length=512,
    sliding_window=100,
    full_attention_layers=[2],
)
SETTINGS = MemorySettings(
    context_length=100,
    num_sequence_ids=3,
    num_output_rows=8,
    kv_cache_type="f16",
    flash_attention=True,
    micro_batch_tokens=32,
    repack=True,
    saved_prefix_bytes=7000,
)
# A model that is too large for a test, with the window of its smallest sister.
GEMMA_LIKE = ModelShape(
    num_layers=34,
    embedding_length=2560,
    num_kv_heads=4,
    key_length=256,
    value_length=256,
    vocabulary_size=262144,
    trained_context_length=131072,
    num_heads=8,
    feed_forward_length=10240,
    sliding_window=512,
    full_attention_layers=[5, 11, 17, 23, 29],
)


def changed(**changes: Any) -> MemorySettings:
    return msgspec.structs.replace(SETTINGS, **changes)


def test_parts_are_those_worked_out_by_hand() -> None:
    estimate = estimate_memory(SHAPE, SETTINGS, ModelWeights(file_bytes=5000, repacked_bytes=3000))
    assert (estimate.weight_bytes, estimate.repacked_bytes, estimate.saved_prefix_bytes) == (5000, 3000, 7000)
    # 100 cells are rounded up to 256, of 2 layers x 2 heads x (16 + 16) elements of 2 bytes.
    assert estimate.kv_cache_bytes == 65_536
    # 32 rows x (3 x 256 + 3 x 64 + 64 floats, 256 numbers of two bytes): 147,456; beside them 8 x 1,000 logits: 32,000,
    # and 32 rows of 256 elements of 1.2 bytes: 9,831.
    assert estimate.compute_bytes == 189_287
    assert (estimate.engine_bytes, estimate.agent_bytes) == (64 * MIB + 128_000, 48 * MIB)
    assert estimate.engine_private_bytes == 3000 + 7000 + 65_536 + 189_287 + 64 * MIB + 128_000
    assert estimate.engine_total_bytes == estimate.engine_private_bytes + 5000
    assert estimate.total_bytes == estimate.engine_total_bytes + 48 * MIB


def test_weights_that_are_not_rearranged_are_not_copied() -> None:
    weights = ModelWeights(file_bytes=5000, repacked_bytes=3000)
    assert estimate_memory(SHAPE, changed(repack=False), weights).repacked_bytes == 0


def test_q8_0_keeps_32_elements_in_34_bytes() -> None:
    assert kv_cache_bytes(SHAPE, changed(kv_cache_type="q8_0")) == 34_816


@pytest.mark.parametrize(
    ("changes", "num_window_cells"),
    [
        # 3 windows of 100 and 32 rows are 332 cells.
        ({"context_length": 2048}, 512),
        ({"context_length": 256}, 256),
    ],
)
def test_layers_with_a_window_keep_a_window_a_sequence(changes: dict[str, Any], num_window_cells: int) -> None:
    cells = changes["context_length"] + 2 * num_window_cells
    assert kv_cache_bytes(WINDOWED, changed(**changes)) == cells * 64 * 2


def test_layers_with_fewer_heads_keep_less() -> None:
    uneven = msgspec.structs.replace(SHAPE, num_layers=3, num_kv_heads=[2, 0, 1], value_length=8)
    assert uneven.num_kv_elements_per_cell == 72


def test_output_rows_outweigh_a_small_micro_batch() -> None:
    # 2 x 32 rows of 64 floats, and 32 rows of 1,000 logits and twice 64 floats.
    assert compute_buffer_bytes(SHAPE, changed(num_output_rows=500)) == 16_384 + 32 * 1128 * 4


def test_widths_that_are_not_known_are_taken_for_usual_ones() -> None:
    assert (SHAPE.most_heads, SHAPE.feed_forward_width) == (4, 256)
    assert (QWEN3_4B.most_heads, QWEN3_4B.feed_forward_width) == (32, 9728)


@pytest.mark.parametrize(
    ("shape", "changes", "reported_kv_mib", "reported_compute_mib"),
    [
        (QWEN3_4B, {}, 576.0, 84.01),
        (QWEN3_4B, {"micro_batch_tokens": 128, "kv_cache_type": "q8_0"}, 306.0, 21.08),
        (QWEN3_4B, {"flash_attention": False}, 576.0, 299.01),
        (QWEN3_4B, {"num_output_rows": 512}, 576.0, 306.75),
        (QWEN3_4B, {"context_length": 16384}, 2304.0, 96.01),
        (GEMMA_LIKE, {"context_length": 16384, "num_sequence_ids": 8}, 842.0, 99.52),
        (
            GEMMA_LIKE,
            {"context_length": 16384, "kv_cache_type": "q8_0", "micro_batch_tokens": 128},
            277.84,
            25.92,
        ),
    ],
)
def test_large_models_need_within_a_tenth_what_llama_cpp_reported_for_their_shapes(
    shape: ModelShape, changes: dict[str, Any], reported_kv_mib: float, reported_compute_mib: float
) -> None:
    settings = changed(**{"context_length": 4096, "micro_batch_tokens": 512, **changes})
    assert kv_cache_bytes(shape, settings) == pytest.approx(reported_kv_mib * MIB, rel=0.001)
    assert compute_buffer_bytes(shape, settings) == pytest.approx(reported_compute_mib * MIB, rel=0.1)


@pytest.mark.parametrize(
    "changes",
    [
        {"kv_cache_type": "f16", "context_length": 4096},
        {"micro_batch_tokens": 64, "context_length": 1000},
        {"kv_cache_type": "f16", "flash_attention": False},
    ],
)
def test_smollm2_gets_within_a_tenth_what_is_estimated(smollm2_path: Path, changes: dict[str, Any]) -> None:
    check_against_llama_cpp(smollm2_path, changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"kv_cache_type": "f16", "context_length": 4096},
        {"context_length": 8192, "max_sequences": 2, "micro_batch_tokens": 128},
        {"repack": False, "max_draft_tokens": 0},
    ],
)
def test_gemma_with_its_window_gets_within_a_tenth_what_is_estimated(
    gemma3_path: Path, changes: dict[str, Any]
) -> None:
    check_against_llama_cpp(gemma3_path, changes)


def check_against_llama_cpp(path: Path, changes: dict[str, Any]) -> None:
    """Load the model in the real engine, and compare with what llama.cpp says of its buffers."""
    settings = settings_for(path, **changes)
    buffers = read_llama_buffers(settings)
    header = read_header(path)
    memory = memory_settings(settings)
    copied_bytes = repacked_bytes(header.matrix_bytes, repacked_types(Path("/"))) if settings.repack else 0
    assert buffers.kv_cache_mib * MIB == pytest.approx(kv_cache_bytes(header.shape, memory), rel=0.001)
    assert buffers.compute_mib * MIB == pytest.approx(compute_buffer_bytes(header.shape, memory), rel=0.1)
    assert buffers.repacked_mib * MIB == pytest.approx(copied_bytes, rel=0.01, abs=0.01 * MIB)
