from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from gguf import GGUFReader

from edge_agent.models.gguf_header import read_header

from .random_model import FOUR_B, NARROW, Q4_K, Q6_K, Tensor, is_finer, tensors_of, weights, write_random_model


def test_the_4b_shape_has_as_many_tensors_and_bytes_as_the_real_file() -> None:
    tensors = list(tensors_of(FOUR_B))
    assert len(tensors) == 398
    # Qwen3-4B in Q4_K_M is 2,497,281,120 bytes, header and tokenizer included.
    assert 2_485_000_000 < sum(tensor.num_bytes for tensor in tensors) < 2_497_281_120


def test_six_bits_are_for_the_ends_and_each_third_layer_between() -> None:
    assert [layer for layer in range(16) if is_finer(layer, 16)] == [0, 1, 4, 7, 10, 13, 14, 15]


def test_weights_are_the_same_each_time_and_fill_the_tensor() -> None:
    for kind in (Q4_K, Q6_K):
        tensor = Tensor("t", kind, 4, 512)
        once, again = (weights(tensor, np.random.default_rng(0)) for _ in range(2))
        assert once.nbytes == tensor.num_bytes
        assert (once == again).all()


def test_a_written_model_is_one_that_edge_agent_reads(tmp_path: Path, smollm2_path: Path) -> None:
    shape = replace(NARROW, vocabulary=49216)
    path = tmp_path / "narrow.gguf"
    write_random_model(shape, path, tokenizer_from=smollm2_path)
    reader = GGUFReader(path)
    assert {tensor.name: tensor.tensor_type for tensor in reader.tensors}["blk.0.attn_q.weight"] == Q4_K
    assert len(reader.fields["tokenizer.ggml.tokens"].data) == 49216
    assert read_header(path).architecture == "qwen3"
    assert [file.name for file in tmp_path.iterdir()] == ["narrow.gguf"]
