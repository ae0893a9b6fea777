"""One socket to the engine as an asyncio protocol: frames in as messages, messages out as frames.

Knows nothing of what the messages mean. A broken frame ends the channel, since nothing after it can be trusted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar, cast

import msgspec

from edge_agent.frames import FrameDecoder
from edge_agent.protocol import Message

MessageT = TypeVar("MessageT", bound=Message)


class FrameChannel(asyncio.Protocol, Generic[MessageT]):
    """Calls `on_message` for each message and `on_broken`, once, with the reason when the peer sends no valid frame.

    `closed` is done when the socket is closed, by either side.
    """

    def __init__(
        self,
        decoder: msgspec.msgpack.Decoder[MessageT],
        *,
        on_message: Callable[[MessageT], None],
        on_broken: Callable[[str], None],
    ) -> None:
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._decoder = decoder
        self._on_message = on_message
        self._on_broken = on_broken
        self._frames = FrameDecoder()
        self._transport: asyncio.Transport | None = None

    def send(self, frame: bytes) -> None:
        """Queue the frame for writing; dropped when the channel is closed."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame)

    def abort(self) -> None:
        """Close at once, without writing what is queued."""
        if self._transport is None:
            self._close()
        else:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        for message in self._messages(data):
            self._on_message(message)

    def connection_lost(self, exc: Exception | None) -> None:
        self._close()

    def _close(self) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def _messages(self, data: bytes) -> Iterator[MessageT]:
        try:
            for payload in self._frames.feed(data):
                yield self._decoder.decode(payload)
        except (ValueError, RecursionError, msgspec.DecodeError) as error:
            self.abort()
            self._on_broken(f"the engine sent a broken frame: {error}")
