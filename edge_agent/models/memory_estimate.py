"""How much memory a model needs while it is served: weights, KV cache, llama.cpp's buffers, the two processes.

Pure arithmetic, meant to answer "will it fit?" before a download or a load; the engine reports what was really used.
The shares of llama.cpp follow its allocation for Llama-, Qwen- and Gemma-like models, within a tenth.
"""

from __future__ import annotations

import math

from msgspec import Struct

from edge_agent.models.shape import ModelShape

MIB = 1024 * 1024
# Bytes an element of the KV cache: q8_0 keeps 32 elements and a two-byte scale in 34 bytes.
KV_BYTES_PER_ELEMENT = {"f16": 2.0, "q8_0": 34 / 32}
# llama.cpp rounds the cells of a cache up to a multiple of this.
CELL_GROUP = 256
FLOAT_BYTES = 4
# The attention mask has a number a row and cell: two bytes where attention is fused, a float where it is not.
FUSED_MASK_BYTES = 2
# Rows are rounded to about a byte an element before they meet quantised weights, with scales beside them.
ROUNDED_ROW_BYTES = 1.2
# Python, numpy, llama.cpp's code and graphs; what each token of the vocabulary costs in tables; the other process.
# Seen with vocabularies of 49 to 262 thousand tokens: 60 to 82 MiB for the engine, 40 for the agent.
ENGINE_BYTES = 64 * MIB
VOCABULARY_ENTRY_BYTES = 128
AGENT_BYTES = 48 * MIB


class MemorySettings(Struct, frozen=True, kw_only=True):
    """Settings of the engine that memory depends on. `num_output_rows` is how many rows of a step keep their logits."""

    context_length: int
    num_sequence_ids: int
    num_output_rows: int
    kv_cache_type: str
    flash_attention: bool
    micro_batch_tokens: int
    repack: bool
    saved_prefix_bytes: int


class ModelWeights(Struct, frozen=True, kw_only=True):
    """Bytes of the file, and of the copies that are made where weights are rearranged for the CPU."""

    file_bytes: int
    repacked_bytes: int


class MemoryEstimate(Struct, frozen=True, kw_only=True):
    """Bytes by purpose. The file's pages could be dropped and read again, but for each token all of them are needed."""

    weight_bytes: int
    repacked_bytes: int
    kv_cache_bytes: int
    compute_bytes: int
    saved_prefix_bytes: int
    engine_bytes: int
    agent_bytes: int = AGENT_BYTES

    @property
    def engine_total_bytes(self) -> int:
        """All that the engine adds to a machine on which the agent runs already."""
        return self.weight_bytes + self.engine_private_bytes

    @property
    def engine_private_bytes(self) -> int:
        """What a second engine with the same file would add."""
        buffers = self.kv_cache_bytes + self.compute_bytes + self.saved_prefix_bytes
        return self.repacked_bytes + buffers + self.engine_bytes

    @property
    def total_bytes(self) -> int:
        return self.engine_total_bytes + self.agent_bytes


def estimate_memory(shape: ModelShape, settings: MemorySettings, weights: ModelWeights) -> MemoryEstimate:
    """Memory for one model in one engine."""
    return MemoryEstimate(
        weight_bytes=weights.file_bytes,
        repacked_bytes=weights.repacked_bytes if settings.repack else 0,
        kv_cache_bytes=kv_cache_bytes(shape, settings),
        compute_bytes=compute_buffer_bytes(shape, settings) + _uncounted_bytes(shape, settings),
        saved_prefix_bytes=settings.saved_prefix_bytes,
        engine_bytes=ENGINE_BYTES + VOCABULARY_ENTRY_BYTES * shape.vocabulary_size,
    )


def kv_cache_bytes(shape: ModelShape, settings: MemorySettings) -> int:
    """What llama.cpp calls the KV buffers: one unified cache, and a second one for layers with a sliding window."""
    window_elements = shape.num_window_kv_elements_per_cell
    full_elements = shape.num_kv_elements_per_cell - window_elements
    elements = _num_cells(settings) * full_elements + _num_window_cells(shape, settings) * window_elements
    return math.ceil(elements * KV_BYTES_PER_ELEMENT[settings.kv_cache_type])


def compute_buffer_bytes(shape: ModelShape, settings: MemorySettings) -> int:
    """What llama.cpp calls the compute buffer: the widest moment of a micro-batch, or that of its output rows."""
    num_rows = settings.micro_batch_tokens
    widest = num_rows * FLOAT_BYTES * _row_width(shape, settings)
    num_mask_cells = _num_cells(settings)
    if shape.num_window_kv_elements_per_cell:
        num_mask_cells += _num_window_cells(shape, settings)
    masks = num_rows * num_mask_cells * (FUSED_MASK_BYTES if settings.flash_attention else FLOAT_BYTES)
    embeddings = 2 * num_rows * shape.embedding_length * FLOAT_BYTES
    outputs = min(settings.num_output_rows, num_rows) * (shape.vocabulary_size + 2 * shape.embedding_length)
    return max(widest + masks, embeddings + outputs * FLOAT_BYTES)


def _row_width(shape: ModelShape, settings: MemorySettings) -> int:
    """Floats of one row at the widest moment of a layer: inside the feed-forward part, or where all heads attend."""
    attention_width = shape.most_heads * shape.key_length
    feed_forward = 3 * shape.feed_forward_width + 3 * shape.embedding_length + attention_width
    feed_forward += 2 * shape.num_used_experts * shape.embedding_length
    if settings.flash_attention:
        return feed_forward
    kv_width = shape.num_kv_elements_per_cell // shape.num_layers
    attention = 3 * attention_width + 2 * shape.embedding_length + kv_width
    return max(feed_forward, attention + shape.most_heads * _num_cells(settings))


def _uncounted_bytes(shape: ModelShape, settings: MemorySettings) -> int:
    """Logits, copied out for each output row, and room to round rows for the quantised weights."""
    logits = settings.num_output_rows * shape.vocabulary_size * FLOAT_BYTES
    widest = max(shape.feed_forward_width, shape.most_heads * shape.key_length, shape.embedding_length)
    return logits + math.ceil(settings.micro_batch_tokens * widest * ROUNDED_ROW_BYTES)


def _num_cells(settings: MemorySettings) -> int:
    return _whole_groups(settings.context_length)


def _num_window_cells(shape: ModelShape, settings: MemorySettings) -> int:
    """Cells of layers with a sliding window: those of a window a sequence, and of the rows that come in."""
    num_cells = _num_cells(settings)
    num_window_cells = shape.sliding_window * settings.num_sequence_ids + settings.micro_batch_tokens
    return _whole_groups(min(num_cells, num_window_cells))


def _whole_groups(num_cells: int) -> int:
    return -(-num_cells // CELL_GROUP) * CELL_GROUP
