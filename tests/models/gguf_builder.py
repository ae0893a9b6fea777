"""A small GGUF written byte by byte, right by default and wrong wherever a test wants it."""

from __future__ import annotations

import struct
from pathlib import Path

from msgspec import Struct

DEFAULT_TOKENS = ("<s>", "</s>", "a", "b", "ab", "\n")


class Value(Struct, frozen=True):
    """A metadata value: its type and its bytes."""

    type_id: int
    data: bytes


def length_prefixed(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(data)) + data


def u16(number: int) -> Value:
    return Value(2, struct.pack("<H", number))


def u32(number: int) -> Value:
    return Value(4, struct.pack("<I", number))


def i32(number: int) -> Value:
    return Value(5, struct.pack("<i", number))


def f32(number: float) -> Value:
    return Value(6, struct.pack("<f", number))


def flag(is_set: bool) -> Value:
    return Value(7, bytes([is_set]))


def string(text: str | bytes) -> Value:
    return Value(8, length_prefixed(text))


def array(type_id: int, count: int, data: bytes) -> Value:
    return Value(9, struct.pack("<IQ", type_id, count) + data)


def strings(texts: list[str] | list[bytes]) -> Value:
    return array(8, len(texts), b"".join(length_prefixed(text) for text in texts))


def u32_array(numbers: list[int]) -> Value:
    return array(4, len(numbers), struct.pack(f"<{len(numbers)}I", *numbers))


class Tensor(Struct, frozen=True):
    """A tensor of the table; `offset` None lets it follow the one before."""

    name: str = "token_embd.weight"
    dimensions: tuple[int, ...] = (64, 6)
    type_id: int = 0
    num_bytes: int = 64 * 6 * 4
    offset: int | None = None


def default_metadata() -> dict[str, Value]:
    """A llama-like model of two layers, with 4 heads that share 2 key-value heads of 16 elements."""
    return {
        "general.architecture": string("llama"),
        "general.name": string("Tiny Test"),
        "general.file_type": u32(15),
        "llama.block_count": u32(2),
        "llama.context_length": u32(512),
        "llama.embedding_length": u32(64),
        "llama.feed_forward_length": u32(128),
        "llama.attention.head_count": u32(4),
        "llama.attention.head_count_kv": u32(2),
        "llama.attention.layer_norm_rms_epsilon": f32(1e-5),
        "tokenizer.ggml.model": string("gpt2"),
        "tokenizer.ggml.tokens": strings(list(DEFAULT_TOKENS)),
        "tokenizer.ggml.merges": strings(["a b"]),
        "tokenizer.ggml.token_type": u32_array([3, 3, 1, 1, 1, 1]),
        "tokenizer.ggml.bos_token_id": u32(0),
        "tokenizer.ggml.eos_token_id": u32(1),
        "tokenizer.chat_template": string("{{ messages }}"),
    }


def build_gguf(
    changes: dict[str, Value | None] | None = None,
    *,
    tensors: tuple[Tensor, ...] = (Tensor(),),
    magic: bytes = b"GGUF",
    version: int = 3,
    num_pairs: int | None = None,
    num_tensors: int | None = None,
    extra_pairs: bytes = b"",
    alignment: int = 32,
) -> bytes:
    """The file's bytes: the default metadata with `changes` (None leaves a key out), then tensors of zeros."""
    metadata = {**default_metadata(), **(changes or {})}
    pairs = [(key, value) for key, value in metadata.items() if value is not None]
    header = magic + struct.pack(
        "<IQQ",
        version,
        len(tensors) if num_tensors is None else num_tensors,
        len(pairs) if num_pairs is None else num_pairs,
    )
    for key, value in pairs:
        header += length_prefixed(key) + struct.pack("<I", value.type_id) + value.data
    header += extra_pairs
    data = b""
    for tensor in tensors:
        offset = len(data) if tensor.offset is None else tensor.offset
        header += length_prefixed(tensor.name) + struct.pack("<I", len(tensor.dimensions))
        header += struct.pack(f"<{len(tensor.dimensions)}Q", *tensor.dimensions)
        header += struct.pack("<IQ", tensor.type_id, offset)
        data += bytes(tensor.num_bytes)
        data += bytes(-len(data) % alignment)
    return header + bytes(-len(header) % alignment) + data


def write_gguf(path: Path, changes: dict[str, Value | None] | None = None) -> Path:
    """A small model file at `path`."""
    path.write_bytes(build_gguf(changes))
    return path
