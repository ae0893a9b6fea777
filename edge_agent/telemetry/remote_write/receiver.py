"""One receiver as seen over HTTP: a request goes out, its answer comes back, or the reason why none did. Event loop.

It follows no redirect, keeps no cookie, takes no proxy from the environment, reads no more of an answer than is shown,
and shows no secret that an answer repeats. When to send again, others decide.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable
from urllib.parse import parse_qsl, unquote

import aiohttp

from edge_agent.config import RemoteWriteEndpoint
from edge_agent.telemetry.remote_write.answer import Answer, retry_after_seconds, shown_text
from edge_agent.telemetry.remote_write.credentials import CredentialFiles, Credentials, UnusableFileError
from edge_agent.telemetry.remote_write.detached_call import detached
from edge_agent.telemetry.remote_write.name_resolver import Lookup, NameResolver

MAX_ANSWER_BYTES = 4096
# 2 s: the text only explains. A status whose text never ends counts all the same.
MAX_TEXT_SECONDS = 2.0
# 50 s: over the usual interval, and below the minute after which receivers and NAT close a quiet connection.
KEEPALIVE_SECONDS = 50.0


class UnreachableError(Exception):
    """No answer came; the message says why."""


class Receiver:
    """Made on the running event loop; `close` it there."""

    def __init__(
        self,
        endpoint: RemoteWriteEndpoint,
        *,
        version: str,
        wall_clock: Callable[[], float] = time.time,
        lookup: Lookup = socket.getaddrinfo,
    ) -> None:
        self.name, _, query = endpoint.url.partition("#")[0].partition("?")
        self._query_secrets = frozenset({query, unquote(query), *(value for _, value in parse_qsl(query))})
        self._endpoint = endpoint
        self._credentials = CredentialFiles(endpoint)
        self._reading: asyncio.Future[Credentials] | None = None
        self._wall_clock = wall_clock
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=NameResolver(lookup), keepalive_timeout=KEEPALIVE_SECONDS),
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
            return await self._send(body)
        except TimeoutError as error:
            raise UnreachableError(f"no answer within {self._endpoint.timeout_seconds:g} s") from error
        except (aiohttp.InvalidURL, UnicodeError) as error:
            raise UnreachableError("url has no host and port that could be asked; correct it") from error
        except aiohttp.ClientResponseError as error:
            # Its own text has the whole url, and a status that nobody sent.
            raise UnreachableError(f"what it answers is not HTTP: {shown_text(error.message.encode())}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise UnreachableError(shown_text(str(error).encode()) or type(error).__name__) from error
        except UnusableFileError as error:
            raise UnreachableError(str(error)) from error

    async def close(self) -> None:
        await self._http.close()

    async def _send(self, body: bytes) -> Answer:
        async with asyncio.timeout(self._endpoint.timeout_seconds):
            credentials = await self._read_credentials()
            response = await self._http.post(
                self._endpoint.url,
                data=body,
                headers=credentials.headers,
                ssl=True if credentials.tls is None else credentials.tls,
                allow_redirects=False,
            )
        async with response:
            text = await _start_of_text(response.content)
        wish = response.headers.get("Retry-After", "")
        return Answer(
            response.status,
            shown_text(text, secrets=credentials.secrets | self._query_secrets),
            retry_after_seconds(wish, now=self._wall_clock()),
        )

    async def _read_credentials(self) -> Credentials:
        """A file system that hangs costs one thread, not one for each attempt."""
        if self._reading is None or self._reading.done():
            self._reading = detached(self._credentials.read)
            self._reading.add_done_callback(_take_note)
        return await asyncio.shield(self._reading)


async def _start_of_text(content: aiohttp.StreamReader) -> bytes:
    """What comes of it in time. Where it breaks off is no matter: the status has said what became of the samples."""
    text = b""
    with contextlib.suppress(TimeoutError, aiohttp.ClientError, OSError):
        async with asyncio.timeout(MAX_TEXT_SECONDS):
            while len(text) < MAX_ANSWER_BYTES and (chunk := await content.read(MAX_ANSWER_BYTES - len(text))):
                text += chunk
    return text


def _take_note(reading: asyncio.Future[Credentials]) -> None:
    """An error that comes after its request was given up is nobody's any more."""
    if not reading.cancelled():
        reading.exception()
