"""The estimate's parts, worked out by hand, and how near it comes to what llama.cpp allocates."""

from __future__ import annotations

import pytest

from edge_agent.models.memory_estimate import estimate_memory
from edge_agent.models.shape import ModelShape

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
SMOLLM2 = ModelShape(
    num_layers=30,
    embedding_length=576,
    num_kv_heads=3,
    key_length=64,
    value_length=64,
    vocabulary_size=49152,
    trained_context_length=8192,
)


@pytest.mark.parametrize(("kv_cache_type", "kv_cache_bytes"), [("f16", 25600), ("q8_0", 13600)])
def test_parts_are_those_worked_out_by_hand(kv_cache_type: str, kv_cache_bytes: int) -> None:
    estimate = estimate_memory(SHAPE, file_size_bytes=5000, context_length=100, kv_cache_type=kv_cache_type)
    # 2 layers x 2 heads x (16 + 16) elements x 100 cells = 12,800 elements, of 2 or 34/32 bytes.
    assert estimate.kv_cache_bytes == kv_cache_bytes
    # 512 rows x (16 x 64 floats of 4 bytes + 100 cells of 2 bytes), and 8 rows of 1,000 logits of 4 bytes.
    assert estimate.compute_bytes == 2_231_552
    assert estimate.weight_bytes == 5000
    assert estimate.total_bytes == 5000 + kv_cache_bytes + 2_231_552 + 160 * MIB


def test_layers_with_fewer_heads_keep_less() -> None:
    uneven = ModelShape(
        num_layers=3,
        embedding_length=64,
        num_kv_heads=[2, 0, 1],
        key_length=16,
        value_length=8,
        vocabulary_size=10,
        trained_context_length=64,
    )
    assert uneven.num_kv_elements_per_cell == 72


def test_key_value_cache_is_what_llama_cpp_allocates() -> None:
    # llama.cpp reports 47.81 MiB in q8_0 and 90.00 MiB in f16 for 4,096 cells.
    q8_0 = estimate_memory(SMOLLM2, file_size_bytes=0, context_length=4096, kv_cache_type="q8_0")
    f16 = estimate_memory(SMOLLM2, file_size_bytes=0, context_length=4096, kv_cache_type="f16")
    assert (q8_0.kv_cache_bytes, f16.kv_cache_bytes) == (50_135_040, 90 * MIB)


@pytest.mark.parametrize(("context_length", "reported_mib"), [(4096, 17.92), (16384, 29.92)])
def test_compute_buffers_are_a_little_more_than_llama_cpp_reports(context_length: int, reported_mib: float) -> None:
    estimate = estimate_memory(SMOLLM2, file_size_bytes=0, context_length=context_length, kv_cache_type="q8_0")
    assert reported_mib * MIB < estimate.compute_bytes < 1.5 * reported_mib * MIB
