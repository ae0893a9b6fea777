"""The one door to llama.cpp: a loaded model with its vocabulary, and a context that decodes batches.

Every limit whose breach would end the process inside llama.cpp is checked here, in Python, before the call.
A `LlamaModel` may be read by any thread; a `LlamaContext` belongs to the step loop.
"""

from __future__ import annotations

import ctypes
import enum
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from llama_cpp import llama_cpp as lib

# `native_samplers` calls through the same door: llama_cpp is imported in this file alone.
__all__ = [
    "DecodeResult",
    "LlamaContext",
    "LlamaError",
    "LlamaModel",
    "Logits",
    "SpecialKind",
    "lib",
    "set_fields",
    "use_default_log",
]

Logits = npt.NDArray[np.float32]

# llama.cpp accepts ids from n_seq_max up to 255 in silence, and computes nonsense with them.
MAX_SEQUENCE_IDS = 256
KV_TYPES = {"f16": lib.GGML_TYPE_F16, "q8_0": lib.GGML_TYPE_Q8_0}
FLASH_ATTENTION_ON = 1
MEASURED_CELLS = 16
LOAD_MODES = {(False, False): 0, (True, False): 1, (False, True): 2, (True, True): 3}


class LlamaError(Exception):
    """llama.cpp refused a file, a setting or a batch."""


class SpecialKind(enum.Enum):
    """Special tokens by when llama.cpp reads them in a text: always, or only when it parses special ones."""

    USER_DEFINED = lib.LLAMA_TOKEN_ATTR_USER_DEFINED
    CONTROL = lib.LLAMA_TOKEN_ATTR_CONTROL | lib.LLAMA_TOKEN_ATTR_UNKNOWN


class DecodeResult(enum.Enum):
    """What `llama_decode` says, when it is not an error."""

    DONE = 0
    NO_ROOM = 1
    ABORTED = 2


def set_fields(params: Any, **values: object) -> None:
    """Set fields of a ctypes structure; a misspelt one would be taken in silence."""
    fields = {field[0] for field in params._fields_}
    unknown = values.keys() - fields
    if unknown:
        raise LlamaError(f"{type(params).__name__} has no field {', '.join(sorted(unknown))}")
    for name, value in values.items():
        setattr(params, name, value)


def use_default_log() -> None:
    """Let llama.cpp write to standard error itself: a Python callback would be called from its threads."""
    lib.llama_log_set(lib.llama_log_callback(), ctypes.c_void_p(0))


class LlamaModel:
    """Weights and vocabulary. Raises LlamaError when llama.cpp will not load the file."""

    def __init__(
        self, path: str, *, num_gpu_layers: int, mmap: bool, mlock: bool, on_progress: Callable[[float], None]
    ) -> None:
        lib.llama_backend_init()
        params = lib.llama_model_default_params()

        def progress(fraction: float, _data: object) -> bool:
            on_progress(fraction)
            return True

        callback = lib.llama_progress_callback(progress)
        set_fields(params, n_gpu_layers=num_gpu_layers, load_mode=LOAD_MODES[mmap, mlock], progress_callback=callback)
        self.handle = lib.llama_model_load_from_file(path.encode(), params)
        if not self.handle:
            raise LlamaError(f"llama.cpp could not load {path}; its last lines above say why")
        self.vocab = lib.llama_model_get_vocab(self.handle)
        self.num_tokens = lib.llama_vocab_n_tokens(self.vocab)
        self._pieces: dict[tuple[int, bool], bytes] = {}
        self.end_tokens = frozenset(
            token for token in range(self.num_tokens) if lib.llama_vocab_is_eog(self.vocab, token)
        )

    def close(self) -> None:
        lib.llama_model_free(self.handle)

    def metadata(self, key: str) -> str:
        """The GGUF's value of `key` as text, or ''. At most 64 KiB."""
        buffer = ctypes.create_string_buffer(65536)
        length = lib.llama_model_meta_val_str(self.handle, key.encode(), buffer, len(buffer))
        return "" if length < 0 else buffer.value.decode("utf-8", "replace")

    @property
    def architecture(self) -> str:
        return self.metadata("general.architecture")

    @property
    def quantization(self) -> str:
        """The file type by llama.cpp's own name for it, such as Q4_K_M."""
        file_type = lib.llama_model_ftype(self.handle) & ~lib.LLAMA_FTYPE_GUESSED
        prefixes = ("LLAMA_FTYPE_MOSTLY_", "LLAMA_FTYPE_ALL_")
        for name in dir(lib):
            if name.startswith(prefixes) and getattr(lib, name) == file_type:
                return name.removeprefix(prefixes[0]).removeprefix(prefixes[1])
        return f"type {file_type}"

    @property
    def num_parameters(self) -> int:
        return int(lib.llama_model_n_params(self.handle))

    @property
    def size_bytes(self) -> int:
        return int(lib.llama_model_size(self.handle))

    @property
    def trained_context_length(self) -> int:
        return int(lib.llama_model_n_ctx_train(self.handle))

    def num_layers_on_gpu(self, num_wanted: int) -> int:
        """Of the layers and the output, how many a GPU takes when `num_wanted` (-1: all) are asked for."""
        if not lib.llama_supports_gpu_offload():
            return 0
        num_layers = int(lib.llama_model_n_layer(self.handle)) + 1
        return num_layers if num_wanted < 0 else min(num_wanted, num_layers)

    @property
    def is_trimmable(self) -> bool:
        """Whether cells behind a position can be dropped: a recurrent state cannot go back."""
        return not (lib.llama_model_is_recurrent(self.handle) or lib.llama_model_is_hybrid(self.handle))

    @property
    def chat_template(self) -> str | None:
        template = lib.llama_model_chat_template(self.handle, None)
        return None if template is None else template.decode("utf-8", "replace")

    @property
    def adds_bos(self) -> bool:
        return bool(lib.llama_vocab_get_add_bos(self.vocab))

    def special_text(self, token: int) -> str:
        """How the vocabulary writes a special token, '' for one it lacks."""
        return "" if token < 0 else lib.llama_vocab_get_text(self.vocab, token).decode("utf-8", "replace")

    def special_texts(self, kind: SpecialKind) -> frozenset[bytes]:
        """What the vocabulary's special tokens of a kind look like in a text."""
        return frozenset(
            lib.llama_vocab_get_text(self.vocab, token)
            for token in range(self.num_tokens)
            if lib.llama_vocab_get_attr(self.vocab, token) & kind.value
        )

    @property
    def bos_text(self) -> str:
        return self.special_text(lib.llama_vocab_bos(self.vocab))

    @property
    def eos_text(self) -> str:
        return self.special_text(lib.llama_vocab_eos(self.vocab))

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Token ids of `text`. Safe from any thread."""
        raw = text.encode("utf-8", "replace")
        capacity = len(raw) + 16  # no vocabulary makes more tokens than bytes, but for BOS and EOS
        buffer = (lib.llama_token * capacity)()
        count = lib.llama_tokenize(self.vocab, raw, len(raw), buffer, capacity, add_special, parse_special)
        if count < 0:
            raise LlamaError(f"text of {len(raw)} bytes gives more than {capacity} tokens")
        return list(buffer[:count])

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """Bytes of one token; '' for a control token unless `special`. Raises ValueError outside the vocabulary."""
        if not 0 <= token < self.num_tokens:
            raise ValueError(f"token {token} is outside the vocabulary of {self.num_tokens}")
        piece = self._pieces.get((token, special))
        if piece is None:
            piece = self._pieces[token, special] = self._read_piece(token, special=special)
        return piece

    def _read_piece(self, token: int, *, special: bool) -> bytes:
        length = 64
        while True:
            buffer = ctypes.create_string_buffer(length)
            length = lib.llama_token_to_piece(self.vocab, token, buffer, len(buffer), 0, special)
            if length >= 0:
                return buffer.raw[:length]
            length = -length


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
        num_threads: int,
        num_threads_batch: int,
    ) -> None:
        if num_sequence_ids > MAX_SEQUENCE_IDS:
            raise LlamaError(f"{num_sequence_ids} sequence ids asked for, llama.cpp has {MAX_SEQUENCE_IDS}")
        self.max_batch_tokens = max_batch_tokens
        # Context creation aborts below n_seq_max outputs.
        self.max_outputs = max(max_outputs, num_sequence_ids)
        self._num_sequence_ids = num_sequence_ids
        params = lib.llama_context_default_params()
        set_fields(
            params,
            n_ctx=context_length,
            n_batch=max_batch_tokens,
            n_ubatch=max_batch_tokens,
            n_seq_max=num_sequence_ids,
            n_outputs_max=self.max_outputs,
            n_threads=num_threads,
            n_threads_batch=num_threads_batch,
            type_k=KV_TYPES[kv_cache_type],
            type_v=KV_TYPES[kv_cache_type],
            flash_attn_type=FLASH_ATTENTION_ON,
            kv_unified=True,
            swa_full=True,
            no_perf=True,
        )
        self.handle = lib.llama_init_from_model(model.handle, params)
        if not self.handle:
            raise LlamaError(
                f"llama.cpp made no context of {context_length} cells ({kv_cache_type}): too little memory?"
            )
        self._memory = lib.llama_get_memory(self.handle)
        self._vocabulary_size = model.num_tokens
        self._abort_flag = ctypes.create_string_buffer(2)
        self._install_abort_flag()
        self._batch = _BatchArrays(max_batch_tokens)

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

    def save(self, seq_id: int) -> bytes:
        """The sequence's cells, copied out."""
        size = lib.llama_state_seq_get_size(self.handle, seq_id)
        buffer = (ctypes.c_uint8 * size)()
        if lib.llama_state_seq_get_data(self.handle, buffer, size, seq_id) != size:
            raise LlamaError(f"the {size} bytes of sequence {seq_id} could not be saved")
        return bytes(buffer)

    def load(self, seq_id: int, state: bytes) -> None:
        """Give an empty sequence the cells of `state`, which `save` of this very context made."""
        buffer = (ctypes.c_uint8 * len(state)).from_buffer_copy(state)
        if lib.llama_state_seq_set_data(self.handle, buffer, len(state), seq_id) != len(state):
            raise LlamaError(f"{len(state)} saved bytes could not be loaded into sequence {seq_id}")

    def bytes_a_cell(self) -> int:
        """What saving costs, measured on a few cells; their step also reads the weights in for the first time."""
        self.clear_rows()
        self.add_rows(0, 0, range(MEASURED_CELLS), wants_logits=True)
        self.decode()
        size = lib.llama_state_seq_get_size(self.handle, 0)
        self.trim(0, 0)
        return int(size) // MEASURED_CELLS + 1

    def clear_rows(self) -> None:
        self._batch.clear()

    def add_rows(self, seq_id: int, start: int, tokens: Sequence[int], *, wants_logits: bool) -> int:
        """Append rows of one sequence; returns the index of the last one, whose logits are kept if wanted.

        Raises LlamaError where llama.cpp would end the process.
        """
        if not 0 <= seq_id < self._num_sequence_ids:
            raise LlamaError(f"sequence id {seq_id} is outside 0..{self._num_sequence_ids - 1}")
        return self._batch.add(seq_id, start, tokens, wants_logits=wants_logits)

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


class _BatchArrays:
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

    def add(self, seq_id: int, start: int, tokens: Sequence[int], *, wants_logits: bool) -> int:
        first, end = self.num_rows, self.num_rows + len(tokens)
        if end > self._capacity:
            raise LlamaError(f"{end} rows in a batch of {self._capacity}")
        self._tokens[first:end] = tokens
        self._positions[first:end] = range(start, start + len(tokens))
        self._seq_ids[first:end] = seq_id
        self._outputs[first:end] = 0
        self._outputs[end - 1] = wants_logits
        self.num_rows = end
        self.num_outputs += wants_logits
        self.struct.n_tokens = end
        return end - 1
