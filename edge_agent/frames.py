"""Messages as length-prefixed msgpack frames on a byte stream, between agent and engine.

A frame is a 4-byte little-endian length and that many bytes of msgpack, whose `type` field names the struct.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

from edge_agent.protocol import Message

FRAME_HEADER = struct.Struct("<I")
# 64 MiB: far above any prompt that the HTTP body limit lets through; a larger length means a broken peer.
MAX_FRAME_BYTES = 64 * 1024 * 1024


class FrameDecoder:
    """Cuts a byte stream into frames. Owned by one reader.

    Raises ValueError for a length above MAX_FRAME_BYTES: the peer is broken and the connection of no more use.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the payload of every frame that `data` completes."""
        self._buffer += data
        while len(self._buffer) >= FRAME_HEADER.size:
            (length,) = FRAME_HEADER.unpack_from(self._buffer)
            if length > MAX_FRAME_BYTES:
                raise ValueError(f"frame of {length} bytes announced, at most {MAX_FRAME_BYTES} allowed")
            end = FRAME_HEADER.size + length
            if len(self._buffer) < end:
                return
            payload = bytes(self._buffer[FRAME_HEADER.size : end])
            del self._buffer[:end]
            yield payload


_encoder = msgspec.msgpack.Encoder()


def encode_frame(message: Message) -> bytes:
    """The message as one frame, header included."""
    payload = _encoder.encode(message)
    return FRAME_HEADER.pack(len(payload)) + payload
