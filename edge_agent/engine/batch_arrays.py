"""The rows of one step as the arrays that llama.cpp reads. Owned by the context, filled by the step loop."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np

from edge_agent.engine.llama import LlamaError, lib, set_fields


class BatchArrays:
    """A `llama_batch` over numpy arrays, each row of one sequence, filled by slices."""

    def __init__(self, capacity: int) -> None:
        self.num_rows = 0
        self.num_outputs = 0
        self._capacity = capacity
        self._tokens = np.zeros(capacity, dtype=np.int32)
        self._positions = np.zeros(capacity, dtype=np.int32)
        self._seq_counts = np.ones(capacity, dtype=np.int32)
        self._seq_ids = np.zeros(capacity, dtype=np.int32)
        self._outputs = np.zeros(capacity, dtype=np.int8)
        step = self._seq_ids.itemsize
        self._seq_pointers = np.arange(capacity, dtype=np.uintp) * step + self._seq_ids.ctypes.data
        self.struct = lib.llama_batch()
        set_fields(
            self.struct,
            token=self._tokens.ctypes.data_as(ctypes.POINTER(lib.llama_token)),
            pos=self._positions.ctypes.data_as(ctypes.POINTER(lib.llama_pos)),
            n_seq_id=self._seq_counts.ctypes.data_as(ctypes.POINTER(ctypes.c_int32)),
            seq_id=self._seq_pointers.ctypes.data_as(ctypes.POINTER(ctypes.POINTER(lib.llama_seq_id))),
            logits=self._outputs.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
        )

    def clear(self) -> None:
        self.num_rows = self.num_outputs = 0

    def add(self, seq_id: int, start: int, tokens: Sequence[int], *, num_outputs: int) -> int:
        first, end = self.num_rows, self.num_rows + len(tokens)
        if end > self._capacity:
            raise LlamaError(f"{end} rows in a batch of {self._capacity}")
        self._tokens[first:end] = tokens
        self._positions[first:end] = range(start, start + len(tokens))
        self._seq_ids[first:end] = seq_id
        self._outputs[first:end] = 0
        self._outputs[end - num_outputs : end] = 1
        self.num_rows = end
        self.num_outputs += num_outputs
        self.struct.n_tokens = end
        return end - 1
