"""One receiver as seen over HTTP: a request goes out, its answer comes back, or the reason why none did. Event loop.

It follows no redirect, keeps no cookie, takes no proxy from the environment, and reads no more of an answer than is
shown. When to send again, others decide.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import aiohttp

from edge_agent.config import RemoteWriteEndpoint
from edge_agent.telemetry.remote_write.answer import Answer, retry_after_seconds, shown_text
from edge_agent.telemetry.remote_write.credentials import CredentialFiles, UnusableFileError

MAX_ANSWER_BYTES = 4096
# 50 s: over the usual interval, and below the minute after which receivers and NAT close a quiet connection.
KEEPALIVE_SECONDS = 50.0


class UnreachableError(Exception):
    """No answer came; the message says why."""


class Receiver:
    """Made on the running event loop; `close` it there."""

    def __init__(
        self, endpoint: RemoteWriteEndpoint, *, version: str, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self.name = _shown_url(endpoint.url)
        self._endpoint = endpoint
        self._credentials = CredentialFiles(endpoint)
        self._wall_clock = wall_clock
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(keepalive_timeout=KEEPALIVE_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={
                "Content-Type": "application/x-protobuf",
                "Content-Encoding": "snappy",
                "X-Prometheus-Remote-Write-Version": "0.1.0",
                "User-Agent": f"edge-agent/{version}",
                # A compressed answer may be a thousand times as long as what is read of it.
                "Accept-Encoding": "identity",
            },
            auto_decompress=False,
            # `send` has the one limit, over reading the credentials too.
            timeout=aiohttp.ClientTimeout(),
        )

    async def send(self, body: bytes) -> Answer:
        """Send a compressed `WriteRequest`. Raises UnreachableError, also when the credentials cannot be read."""
        try:
            async with asyncio.timeout(self._endpoint.timeout_seconds):
                return await self._send(body)
        except TimeoutError as error:
            raise UnreachableError(f"no answer within {self._endpoint.timeout_seconds:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise UnreachableError(shown_text(str(error).encode()) or type(error).__name__) from error
        except UnusableFileError as error:
            raise UnreachableError(str(error)) from error

    async def close(self) -> None:
        await self._http.close()

    async def _send(self, body: bytes) -> Answer:
        credentials = await asyncio.to_thread(self._credentials.read)
        async with self._http.post(
            self._endpoint.url,
            data=body,
            headers=credentials.headers,
            ssl=True if credentials.tls is None else credentials.tls,
            allow_redirects=False,
        ) as response:
            text = await response.content.read(MAX_ANSWER_BYTES)
            wish = response.headers.get("Retry-After", "")
            return Answer(response.status, shown_text(text), retry_after_seconds(wish, now=self._wall_clock()))


def _shown_url(url: str) -> str:
    """Without its query, which may hold a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"
