"""Bounded reading of a GGUF's leading bytes: no read goes past the file, and none is larger than its stated limit.

The file is read through a buffer and never mapped: a mapped file that is cut short meanwhile would end the process.
Numbers are little-endian, as the format has them on every machine that this product runs on.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from edge_agent.errors import ModelFileError

U32 = struct.Struct("<I")
U64 = struct.Struct("<Q")
# 64 MiB: several times the largest known header (a vocabulary of 262,144 tokens with its merges needs 15 MiB).
MAX_HEADER_BYTES = 64 * 1024 * 1024
# 16 MiB: far above any chat template.
MAX_STRING_BYTES = 16 * 1024 * 1024


class GgufStream:
    """One pass over a file's header; every method raises ModelFileError where the file does not hold what it claims."""

    def __init__(self, file: BinaryIO, *, size_bytes: int) -> None:
        self._file = file
        self.size_bytes = size_bytes
        self.position = 0

    @property
    def num_remaining_bytes(self) -> int:
        return self.size_bytes - self.position

    def take(self, num_bytes: int) -> bytes:
        """The next bytes; never fewer."""
        self._advance(num_bytes)
        data = self._file.read(num_bytes)
        if len(data) != num_bytes:
            raise ModelFileError("the file became shorter while it was being read")
        return data

    def skip(self, num_bytes: int) -> None:
        self._advance(num_bytes)
        self._file.seek(self.position)

    def u32(self) -> int:
        number: int = U32.unpack(self.take(4))[0]
        return number

    def u64(self) -> int:
        number: int = U64.unpack(self.take(8))[0]
        return number

    def string(self, *, max_bytes: int = MAX_STRING_BYTES) -> bytes:
        """A length and that many bytes."""
        return self.take(self._string_length(max_bytes))

    def skip_string(self) -> None:
        self.skip(self._string_length(MAX_STRING_BYTES))

    def _string_length(self, max_bytes: int) -> int:
        length = self.u64()
        if length > max_bytes:
            raise ModelFileError(f"a string of {length} bytes is announced where at most {max_bytes} are allowed")
        return length

    def _advance(self, num_bytes: int) -> None:
        end = self.position + num_bytes
        if end > self.size_bytes:
            raise ModelFileError(f"the header goes on after the file's end at byte {self.size_bytes}: it is truncated")
        if end > MAX_HEADER_BYTES:
            raise ModelFileError(f"the header is larger than {MAX_HEADER_BYTES} bytes")
        self.position = end
