"""A loaded model: weights, vocabulary and what the file says of itself. May be read by any thread."""

from __future__ import annotations

import ctypes
import enum
from collections.abc import Callable

from edge_agent.engine.llama import LlamaError, lib, set_fields

LOAD_MODES = {(False, False): 0, (True, False): 1, (False, True): 2, (True, True): 3}


class SpecialKind(enum.Enum):
    """Special tokens by when llama.cpp reads them in a text: always, or only when it parses special ones."""

    USER_DEFINED = lib.LLAMA_TOKEN_ATTR_USER_DEFINED
    CONTROL = lib.LLAMA_TOKEN_ATTR_CONTROL | lib.LLAMA_TOKEN_ATTR_UNKNOWN


class LlamaModel:
    """Weights and vocabulary. Raises LlamaError when llama.cpp will not load the file."""

    def __init__(
        self,
        path: str,
        *,
        num_gpu_layers: int,
        mmap: bool,
        mlock: bool,
        repack: bool,
        on_progress: Callable[[float], None],
    ) -> None:
        lib.llama_backend_init()
        params = lib.llama_model_default_params()

        def progress(fraction: float, _data: object) -> bool:
            on_progress(fraction)
            return True

        callback = lib.llama_progress_callback(progress)
        set_fields(
            params,
            n_gpu_layers=num_gpu_layers,
            load_mode=LOAD_MODES[mmap, mlock],
            progress_callback=callback,
            use_extra_bufts=repack,
        )
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
    def is_recurrent(self) -> bool:
        """Whether layers keep a state instead of cells: it cannot go back to an earlier position."""
        return bool(lib.llama_model_is_recurrent(self.handle) or lib.llama_model_is_hybrid(self.handle))

    @property
    def num_window_tokens(self) -> int:
        """How far back the sliding-window layers look, in tokens; 0 without such layers."""
        return int(lib.llama_model_n_swa(self.handle))

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
