"""A KV cache and the compute around it: rows in, logits out. Belongs to the step loop.

Every limit whose breach would end the process inside llama.cpp is checked here, in Python, before the call.
"""

from __future__ import annotations

import ctypes
import enum
from collections.abc import Sequence

import numpy as np

from edge_agent.engine.batch_arrays import BatchArrays
from edge_agent.engine.llama import LlamaError, Logits, lib, set_fields
from edge_agent.engine.llama_model import LlamaModel

# llama.cpp accepts ids from n_seq_max up to 255 in silence, and computes nonsense with them.
MAX_SEQUENCE_IDS = 256
KV_TYPES = {"f16": lib.GGML_TYPE_F16, "q8_0": lib.GGML_TYPE_Q8_0}
MEASURED_CELLS = 16


class DecodeResult(enum.Enum):
    """What `llama_decode` says, when it is not an error."""

    DONE = 0
    NO_ROOM = 1
    ABORTED = 2


class LlamaContext:
    """A KV cache and the compute around it: fill rows, decode, read logits. Raises LlamaError when refused."""

    def __init__(
        self,
        model: LlamaModel,
        *,
        context_length: int,
        num_sequence_ids: int,
        max_batch_tokens: int,
        max_outputs: int,
        kv_cache_type: str,
        flash_attention: bool,
        micro_batch_tokens: int,
        num_threads: int,
        num_threads_batch: int,
    ) -> None:
        if num_sequence_ids >= MAX_SEQUENCE_IDS:
            raise LlamaError(f"{num_sequence_ids} sequence ids asked for, at most {MAX_SEQUENCE_IDS - 1} are possible")
        self.max_batch_tokens = max_batch_tokens
        # One id more, for what is saved and loaded, a part of a sequence at a time.
        self._scratch_id = num_sequence_ids
        # Context creation aborts below n_seq_max outputs.
        self.max_outputs = max(max_outputs, num_sequence_ids + 1)
        self._num_sequence_ids = num_sequence_ids
        params = lib.llama_context_default_params()
        set_fields(
            params,
            n_ctx=context_length,
            n_batch=max_batch_tokens,
            n_ubatch=min(micro_batch_tokens, max_batch_tokens),
            n_seq_max=num_sequence_ids + 1,
            n_outputs_max=self.max_outputs,
            n_threads=num_threads,
            n_threads_batch=num_threads_batch,
            type_k=KV_TYPES[kv_cache_type],
            type_v=KV_TYPES[kv_cache_type],
            flash_attn_type=int(flash_attention),
            kv_unified=True,
            # More would cost memory and bring nothing: see is_trimmable.
            swa_full=False,
            no_perf=True,
        )
        self.handle = lib.llama_init_from_model(model.handle, params)
        if not self.handle:
            raise LlamaError(
                f"llama.cpp made no context of {context_length} cells ({kv_cache_type}): too little memory?"
            )
        # A state cannot go back. Nor can layers with a sliding window: llama.cpp gives cells that the window has passed
        # to others and leaves them out of what it saves, with swa_full set too, and nothing says so: it would
        # answer wrongly. A cache that is no longer than the window never passes one.
        has_window = 0 < model.num_window_tokens < context_length
        self.is_trimmable = not (model.is_recurrent or has_window)
        self._memory = lib.llama_get_memory(self.handle)
        self._vocabulary_size = model.num_tokens
        self._abort_flag = ctypes.create_string_buffer(2)
        self._install_abort_flag()
        self._batch = BatchArrays(max_batch_tokens)

    def close(self) -> None:
        lib.llama_free(self.handle)

    @property
    def num_cells(self) -> int:
        return int(lib.llama_n_ctx(self.handle))

    def _install_abort_flag(self) -> None:
        # llama.cpp asks its abort callback hundreds of times a step: too often for Python. libc's strlen, given a
        # buffer of one flag byte and a zero, answers natively: 0 goes on, anything else aborts.
        strlen = ctypes.cast(ctypes.CDLL(None).strlen, lib.ggml_abort_callback)
        self._strlen = strlen
        lib.llama_set_abort_callback(self.handle, strlen, ctypes.cast(self._abort_flag, ctypes.c_void_p))

    def request_abort(self) -> None:
        """End the decode that runs now, if one does. The only method that another thread may call."""
        self._abort_flag[0] = b"\x01"

    def clear_abort(self) -> None:
        self._abort_flag[0] = b"\x00"

    def trim(self, seq_id: int, num_kept: int) -> None:
        """Drop the sequence's cells from position `num_kept` on."""
        if not lib.llama_memory_seq_rm(self._memory, seq_id, num_kept, -1):
            raise LlamaError(f"cells of sequence {seq_id} behind position {num_kept} cannot be dropped")

    def copy(self, source_id: int, seq_id: int, num_cells: int) -> None:
        """Let a sequence share the first `num_cells` cells of another; no data moves."""
        lib.llama_memory_seq_cp(self._memory, source_id, seq_id, 0, num_cells)

    def save(self, seq_id: int, start: int, end: int) -> bytes:
        """The sequence's cells of positions start..end-1, copied out."""
        lib.llama_memory_seq_cp(self._memory, seq_id, self._scratch_id, start, end)
        try:
            size = lib.llama_state_seq_get_size(self.handle, self._scratch_id)
            buffer = (ctypes.c_uint8 * size)()
            if lib.llama_state_seq_get_data(self.handle, buffer, size, self._scratch_id) != size:
                raise LlamaError(f"the {size} bytes of sequence {seq_id} could not be saved")
            return bytes(buffer)
        finally:
            self.trim(self._scratch_id, 0)

    def load(self, seq_id: int, state: bytes) -> bool:
        """Add the cells of `state`, which `save` made, to a sequence. False: llama.cpp would not take them."""
        buffer = (ctypes.c_uint8 * len(state)).from_buffer_copy(state)
        taken = bool(lib.llama_state_seq_set_data(self.handle, buffer, len(state), self._scratch_id) == len(state))
        if taken:
            lib.llama_memory_seq_cp(self._memory, self._scratch_id, seq_id, -1, -1)
        self.trim(self._scratch_id, 0)
        return taken

    def bytes_a_cell(self) -> int:
        """What saving costs, measured on a few cells; their step also reads the weights in for the first time."""
        self.clear_rows()
        self.add_rows(0, 0, range(MEASURED_CELLS), num_outputs=1)
        self.decode()
        size = lib.llama_state_seq_get_size(self.handle, 0)
        self.trim(0, 0)
        return int(size) // MEASURED_CELLS + 1

    def clear_rows(self) -> None:
        self._batch.clear()

    def add_rows(self, seq_id: int, start: int, tokens: Sequence[int], *, num_outputs: int) -> int:
        """Append rows of one sequence, of which the last `num_outputs` keep their logits; returns the last one's index.

        Raises LlamaError where llama.cpp would end the process.
        """
        if not 0 <= seq_id < self._num_sequence_ids:
            raise LlamaError(f"sequence id {seq_id} is outside 0..{self._num_sequence_ids - 1}")
        return self._batch.add(seq_id, start, tokens, num_outputs=num_outputs)

    def decode(self) -> DecodeResult:
        """Compute the rows that were added, to the end: a GPU would still be busy otherwise."""
        if self._batch.num_outputs > self.max_outputs:
            raise LlamaError(f"{self._batch.num_outputs} rows with logits, at most {self.max_outputs} allowed")
        result = lib.llama_decode(self.handle, self._batch.struct)
        if result < 0:
            raise LlamaError(f"llama_decode failed with {result} on {self._batch.num_rows} rows")
        lib.llama_synchronize(self.handle)
        return DecodeResult(result)

    def logits(self, row: int) -> Logits:
        """A view of the row's logits, shape (vocabulary,), writable, valid until the next decode."""
        pointer = lib.llama_get_logits_ith(self.handle, row)
        if not pointer:
            raise LlamaError(f"row {row} of the batch kept no logits")
        array = (ctypes.c_float * self._vocabulary_size).from_address(ctypes.addressof(pointer.contents))
        return np.frombuffer(array, dtype=np.float32)
