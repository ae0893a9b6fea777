"""The engine's ends of its two socket pairs: blocking, one writer each."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import msgspec

from edge_agent.frames import FrameDecoder, encode_frame
from edge_agent.protocol import Command, Message

READ_BYTES = 256 * 1024


class Outlet:
    """Where one thread writes its frames. A full socket makes that thread wait: the agent reads them all."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send(self, message: Message) -> None:
        self._connection.sendall(encode_frame(message))


def read_commands(connection: socket.socket) -> Iterator[Command]:
    """Every command until the agent's end closes. Raises ValueError or msgspec.DecodeError for a broken frame."""
    frames = FrameDecoder()
    decoder = msgspec.msgpack.Decoder(Command)
    while data := connection.recv(READ_BYTES):
        for payload in frames.feed(data):
            yield decoder.decode(payload)
