"""A GGUF's key-value pairs, read with limits: scalars, strings, and short arrays of numbers are kept, the rest skipped.

The list of tokens is only checked and counted. Layout: `docs/gguf.md` of the ggml project, versions 2 and 3.
"""

from __future__ import annotations

import struct

from msgspec import Struct

from edge_agent.errors import ModelFileError
from edge_agent.models.gguf_stream import GgufStream

Scalar = int | float | bool
SCALAR_TYPES = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
UINT32_TYPE = 4
STRING_TYPE = 8
ARRAY_TYPE = 9

TOKENS_KEY = "tokenizer.ggml.tokens"
ALIGNMENT_KEY = "general.alignment"
MAX_PAIRS = 65536
MAX_KEY_BYTES = 65535
# One number a layer is the longest array that is looked at.
MAX_KEPT_NUMBERS = 512
# 4 Mi strings in all arrays together: the largest known vocabulary has 0.3 Mi tokens and 0.6 Mi merges. Reading more
# than this takes seconds, which is what a file with an absurd count wants.
MAX_ARRAY_STRINGS = 4 * 1024 * 1024
MAX_TOKENS = 1024 * 1024
# 64 KiB: the longest known tokens are runs of a few hundred spaces.
MAX_TOKEN_BYTES = 64 * 1024
NUM_BYTES = 256


class Numbers(Struct, frozen=True):
    """A short array, kept as it stands in the file until somebody asks for it."""

    type_id: int
    count: int
    data: bytes

    def values(self) -> list[Scalar]:
        scalar = SCALAR_TYPES[self.type_id]
        return [value for (value,) in scalar.iter_unpack(self.data)]


class Vocabulary(Struct, frozen=True):
    """What was counted in the list of tokens; `num_byte_tokens` are those named `<0x00>` to `<0xFF>`."""

    size: int
    num_byte_tokens: int


class Skipped(Struct, frozen=True):
    """An array that is there, and that nobody needs."""

    count: int


class Unsigned32(int):
    """An integer that the file stores as UINT32: the alignment must be one."""


Value = Scalar | bytes | Numbers | Vocabulary | Skipped
Metadata = dict[str, Value]


def read_metadata(stream: GgufStream, *, num_pairs: int) -> Metadata:
    """All pairs of the file by key. Raises ModelFileError."""
    if num_pairs > MAX_PAIRS:
        raise ModelFileError(f"{num_pairs} metadata keys are announced, at most {MAX_PAIRS} are allowed")
    return _PairReader(stream).read(num_pairs)


class _PairReader:
    """Reads pairs one after the other and counts the strings of all arrays."""

    def __init__(self, stream: GgufStream) -> None:
        self._stream = stream
        self._num_strings = 0

    def read(self, num_pairs: int) -> Metadata:
        metadata: Metadata = {}
        for _ in range(num_pairs):
            key = read_name(self._stream, max_bytes=MAX_KEY_BYTES, what="metadata key")
            if key in metadata:
                raise ModelFileError(f"the metadata key {key} occurs twice")
            metadata[key] = self._value(key)
        return metadata

    def _value(self, key: str) -> Value:
        type_id = self._stream.u32()
        if type_id == STRING_TYPE:
            return self._stream.string()
        if type_id == ARRAY_TYPE:
            return self._array(key)
        scalar = SCALAR_TYPES.get(type_id)
        if scalar is None:
            raise ModelFileError(f"the metadata key {key} has the unknown type {type_id}")
        value: Scalar = scalar.unpack(self._stream.take(scalar.size))[0]
        return Unsigned32(value) if type_id == UINT32_TYPE else value

    def _array(self, key: str) -> Value:
        type_id = self._stream.u32()
        count = self._stream.u64()
        if type_id == STRING_TYPE:
            return self._strings(key, count)
        scalar = SCALAR_TYPES.get(type_id)
        if scalar is None:
            raise ModelFileError(f"the metadata key {key} is an array of the unsupported type {type_id}")
        if count > self._stream.num_remaining_bytes // scalar.size:
            raise ModelFileError(f"the metadata key {key} announces {count} elements, more than the file holds")
        if count > MAX_KEPT_NUMBERS:
            self._stream.skip(count * scalar.size)
            return Skipped(count)
        return Numbers(type_id, count, self._stream.take(count * scalar.size))

    def _strings(self, key: str, count: int) -> Value:
        self._num_strings += count
        if self._num_strings > MAX_ARRAY_STRINGS:
            raise ModelFileError(f"the metadata key {key} announces {count} strings, more than any model needs")
        if key == TOKENS_KEY:
            return read_vocabulary(self._stream, count)
        for _ in range(count):
            self._stream.skip_string()
        return Skipped(count)


def read_name(stream: GgufStream, *, max_bytes: int, what: str) -> str:
    """A key or tensor name: printable ASCII (llama.cpp reads it as a C string, so a NUL would hide its end)."""
    raw = stream.string(max_bytes=max_bytes)
    name = raw.decode("ascii", errors="replace")
    if not (raw.isascii() and name.isprintable() and name):
        raise ModelFileError(f"the {what} {name[:64]!a} is empty or not printable ASCII")
    return name


def read_vocabulary(stream: GgufStream, count: int) -> Vocabulary:
    """Check and count the tokens: llama.cpp ends the process where two of them are equal as C strings."""
    if not 1 <= count <= MAX_TOKENS:
        raise ModelFileError(f"the vocabulary has {count} tokens, 1 to {MAX_TOKENS} are allowed")
    seen: set[bytes] = set()
    for index in range(count):
        # An empty token is given this name by llama.cpp, which may then meet another token that has it.
        token = stream.string(max_bytes=MAX_TOKEN_BYTES) or b"[EMPTY_%d]" % index
        if b"\0" in token:
            raise ModelFileError(f"token {index} of the vocabulary contains a NUL byte")
        if token in seen:
            raise ModelFileError(f"token {index} of the vocabulary occurs twice")
        seen.add(token)
    byte_tokens = {b"<0x%02X>" % byte for byte in range(NUM_BYTES)}
    return Vocabulary(size=count, num_byte_tokens=len(byte_tokens & seen))
