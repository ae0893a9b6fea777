"""How much memory a model needs while it is served: weights, KV cache, llama.cpp's buffers, the two processes.

Pure arithmetic, meant to answer "will it fit?" before a download or a load; the engine reports what was really used.
"""

from __future__ import annotations

import math

from msgspec import Struct

from edge_agent.models.shape import ModelShape

# Bytes an element of the KV cache: q8_0 keeps 32 elements and a two-byte scale in 34 bytes.
KV_BYTES_PER_ELEMENT = {"f16": 2.0, "q8_0": 34 / 32}
# Rows of the largest step (llama.cpp's n_ubatch) and output rows that the buffers are made for.
NUM_STEP_ROWS = 512
NUM_OUTPUT_ROWS = 8
# Floats a row of a step, in multiples of the embedding: observed are 11 (Llama-like) to 16 (Gemma-like).
ROW_WIDTH_FACTOR = 16
FLOAT_BYTES = 4
# The attention mask keeps a two-byte float for each row and cell.
MASK_BYTES_PER_CELL_AND_ROW = 2
# 160 MiB: the engine and the agent themselves, with their libraries, without any model.
PROCESS_BYTES = 160 * 1024 * 1024


class MemoryEstimate(Struct, frozen=True, kw_only=True):
    """Bytes by purpose."""

    weight_bytes: int
    kv_cache_bytes: int
    compute_bytes: int
    process_bytes: int = PROCESS_BYTES

    @property
    def total_bytes(self) -> int:
        return self.weight_bytes + self.kv_cache_bytes + self.compute_bytes + self.process_bytes


def estimate_memory(
    shape: ModelShape, *, file_size_bytes: int, context_length: int, kv_cache_type: str
) -> MemoryEstimate:
    """Memory for one unified KV cache of `context_length` cells; a sliding window is counted as if it were full."""
    kv_bytes = context_length * shape.num_kv_elements_per_cell * KV_BYTES_PER_ELEMENT[kv_cache_type]
    row_bytes = ROW_WIDTH_FACTOR * shape.embedding_length * FLOAT_BYTES
    mask_bytes = MASK_BYTES_PER_CELL_AND_ROW * context_length
    output_bytes = NUM_OUTPUT_ROWS * shape.vocabulary_size * FLOAT_BYTES
    return MemoryEstimate(
        weight_bytes=file_size_bytes,
        kv_cache_bytes=math.ceil(kv_bytes),
        compute_bytes=NUM_STEP_ROWS * (row_bytes + mask_bytes) + output_bytes,
    )
