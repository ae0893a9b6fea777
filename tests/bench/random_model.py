"""Writes a GGUF with the tensors of a real model, but random weights: speed and memory depend on shapes alone.

The shapes are of Qwen3-4B's published configuration; which matrix has which quantisation is llama.cpp's rule for
Q4_K_M. What such a model answers is noise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGML_QUANT_VERSION, GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, TokenType
from numpy.typing import NDArray

Q4_K, Q6_K = GGMLQuantizationType.Q4_K, GGMLQuantizationType.Q6_K
F32 = GGMLQuantizationType.F32
# ggml's super-blocks: values in one, and bytes of one.
BLOCK_VALUES = 256
BLOCK_BYTES = {Q4_K: 144, Q6_K: 210}
# LLAMA_FTYPE_MOSTLY_Q4_K_M
FILE_TYPE = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Widths of a Qwen3 model; its embedding matrix is its output matrix too."""

    name: str
    num_layers: int
    hidden: int
    feed_forward: int
    num_heads: int
    num_kv_heads: int
    head: int = 128
    vocabulary: int = 151936
    trained_context: int = 262144


FOUR_B = Shape(name="qwen3-4b-shape", num_layers=36, hidden=2560, feed_forward=9728, num_heads=32, num_kv_heads=8)
# The smallest with its vocabulary that super-blocks allow.
NARROW = Shape(name="qwen3-4b-vocabulary", num_layers=1, hidden=256, feed_forward=256, num_heads=2, num_kv_heads=1)


@dataclass(frozen=True, slots=True)
class Tensor:
    """A matrix of so many rows and columns; one row of F32 is a norm's weights."""

    name: str
    kind: GGMLQuantizationType
    num_rows: int
    num_columns: int

    @property
    def num_bytes(self) -> int:
        values = self.num_rows * self.num_columns
        return values * 4 if self.kind == F32 else values // BLOCK_VALUES * BLOCK_BYTES[self.kind]


def write_random_model(shape: Shape, path: Path, *, tokenizer_from: Path) -> None:
    """Write the file, complete or not at all. Its tokenizer and chat template are another GGUF's, padded in number."""
    unfinished = path.with_name(path.name + ".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = GGUFWriter(unfinished, "qwen3")
    _add_shape(writer, shape)
    _add_tokenizer(writer, GGUFReader(tokenizer_from), vocabulary=shape.vocabulary)
    tensors = list(tensors_of(shape))
    for tensor in tensors:
        _add_tensor(writer, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    rng = np.random.default_rng(0)
    for tensor in tensors:
        writer.write_tensor_data(weights(tensor, rng))
    writer.close()
    unfinished.rename(path)


def tensors_of(shape: Shape) -> Iterator[Tensor]:
    """All of the model, in the file's order."""
    yield Tensor("token_embd.weight", Q6_K, shape.vocabulary, shape.hidden)
    yield Tensor("output_norm.weight", F32, 1, shape.hidden)
    for layer in range(shape.num_layers):
        yield from _layer(shape, layer)


def _layer(shape: Shape, layer: int) -> Iterator[Tensor]:
    finer = Q6_K if is_finer(layer, shape.num_layers) else Q4_K
    queries, keys = shape.num_heads * shape.head, shape.num_kv_heads * shape.head
    matrices = (
        ("attn_q", Q4_K, queries, shape.hidden),
        ("attn_k", Q4_K, keys, shape.hidden),
        ("attn_v", finer, keys, shape.hidden),
        ("attn_output", Q4_K, shape.hidden, queries),
        ("ffn_gate", Q4_K, shape.feed_forward, shape.hidden),
        ("ffn_up", Q4_K, shape.feed_forward, shape.hidden),
        ("ffn_down", finer, shape.hidden, shape.feed_forward),
    )
    norms = (
        ("attn_norm", shape.hidden),
        ("ffn_norm", shape.hidden),
        ("attn_q_norm", shape.head),
        ("attn_k_norm", shape.head),
    )
    for name, kind, num_rows, num_columns in matrices:
        yield Tensor(f"blk.{layer}.{name}.weight", kind, num_rows, num_columns)
    for name, width in norms:
        yield Tensor(f"blk.{layer}.{name}.weight", F32, 1, width)


def is_finer(layer: int, num_layers: int) -> bool:
    """Whether Q4_K_M gives this layer's values and down projection six bits: the ends, and each third between."""
    eighth = num_layers // 8
    return layer < eighth or layer >= 7 * num_layers // 8 or (layer - eighth) % 3 == 2


def weights(tensor: Tensor, rng: np.random.Generator) -> NDArray[Any]:
    """Ones for a norm; else random blocks whose scales are small, so that nothing overflows, and means near 0."""
    if tensor.kind == F32:
        return np.ones(tensor.num_columns, np.float32)
    width = BLOCK_BYTES[tensor.kind]
    blocks = rng.integers(0, 256, (tensor.num_bytes // width, width), dtype=np.uint8)
    if tensor.kind == Q4_K:
        # block_q4_K begins with two half floats: the scales' scale and that of what is subtracted; quants are 0 to 15.
        blocks[:, 0:2] = _half(1e-4)
        blocks[:, 2:4] = _half(7.5e-4)
    else:
        # block_q6_K ends with the scales' scale; quants are -32 to 31, scales are signed.
        blocks[:, 208:210] = _half(1e-5)
    return blocks.reshape(tensor.num_rows, -1)


def _half(value: float) -> NDArray[np.uint8]:
    return np.frombuffer(np.float16(value).tobytes(), np.uint8)


def _add_tensor(writer: GGUFWriter, tensor: Tensor) -> None:
    if tensor.kind == F32:
        writer.add_tensor_info(tensor.name, [tensor.num_columns], np.dtype(np.float32), tensor.num_bytes)
        return
    bytes_of_row = tensor.num_bytes // tensor.num_rows
    shape = [tensor.num_rows, bytes_of_row]
    writer.add_tensor_info(tensor.name, shape, np.dtype(np.uint8), tensor.num_bytes, raw_dtype=tensor.kind)


def _add_shape(writer: GGUFWriter, shape: Shape) -> None:
    writer.add_name(f"{shape.name}, random weights")
    writer.add_block_count(shape.num_layers)
    writer.add_context_length(shape.trained_context)
    writer.add_embedding_length(shape.hidden)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.num_heads)
    writer.add_head_count_kv(shape.num_kv_heads)
    writer.add_key_length(shape.head)
    writer.add_value_length(shape.head)
    writer.add_rope_freq_base(5_000_000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_file_type(FILE_TYPE)
    writer.add_quantization_version(GGML_QUANT_VERSION)


def _add_tokenizer(writer: GGUFWriter, source: GGUFReader, *, vocabulary: int) -> None:
    """Copy all `tokenizer.*` keys; tokens up to the vocabulary's size are text that no prompt contains."""
    for key, field in source.fields.items():
        if not key.startswith("tokenizer."):
            continue
        value = field.contents()
        if key == "tokenizer.ggml.tokens":
            value += [f"<|unused {number}|>" for number in range(len(value), vocabulary)]
        elif key == "tokenizer.ggml.token_type":
            value += [int(TokenType.NORMAL)] * (vocabulary - len(value))
        element = field.types[1] if field.types[0] == GGUFValueType.ARRAY else None
        writer.add_key_value(key, value, field.types[0], sub_type=element)
