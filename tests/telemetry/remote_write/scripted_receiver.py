"""A real HTTP server on loopback that takes pushes well, badly or not at all, and remembers what it was sent."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from aiohttp import web
from msgspec import Struct

from tests.telemetry.remote_write.decoded import DecodedSample, samples_in


class Reply(Struct, frozen=True, kw_only=True):
    """How one request is answered; a hanging one is not, until the server closes."""

    status: int = 204
    text: bytes = b""
    headers: Mapping[str, str] = {}
    is_hanging: bool = False


class Sent(Struct, frozen=True):
    """One request that came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def samples(self) -> list[DecodedSample]:
        return samples_in(self.body)


class ScriptedReceiver:
    """Answers with its replies in turn, the last one again and again."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies) or [Reply()]
        self.sent: list[Sent] = []
        self.url = ""
        self._is_closing = asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.sent.append(Sent(request.path, dict(request.headers), body))
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if reply.is_hanging:
            await self._is_closing.wait()
        return web.Response(status=reply.status, body=reply.text, headers=dict(reply.headers))

    def close(self) -> None:
        self._is_closing.set()


@asynccontextmanager
async def receiving(*replies: Reply, tls: ssl.SSLContext | None = None) -> AsyncIterator[ScriptedReceiver]:
    """A receiver on a port of its own, for the length of the block."""
    receiver = ScriptedReceiver(*replies)
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", receiver.answer)
    runner = web.AppRunner(application, shutdown_timeout=5)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        port = runner.addresses[0][1]
        receiver.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{port}/api/v1/write"
        yield receiver
    finally:
        receiver.close()
        await runner.cleanup()


async def until(is_true: Callable[[], bool], *, seconds: float = 20.0) -> None:
    """Wait for something that other tasks do. Fails when it does not come."""
    async with asyncio.timeout(seconds):
        while not is_true():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)
