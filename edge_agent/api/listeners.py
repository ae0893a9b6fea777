"""Opens the sockets that the applications are served on, and closes them again. Event loop of the agent process.

A client that leaves has its handler cancelled, which is how its sequence comes to be freed.
"""

from __future__ import annotations

import errno
import logging
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from edge_agent.errors import ConfigError

# 2 s: the last error events leave; whoever reads slower than that has been waited for while draining.
CLOSE_SECONDS = 2.0
# 75 s: longer than the usual 60 s of a proxy in front, so that the proxy closes first.
IDLE_CONNECTION_SECONDS = 75.0

logger = logging.getLogger(__name__)


class ConnectionLog(logging.LoggerAdapter[logging.Logger]):
    """aiohttp's own log: what a client sent that is no HTTP is the client's fault, and no traceback's worth."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        if isinstance(kwargs.get("exc_info"), HttpProcessingError | web.RequestPayloadError):
            level = logging.DEBUG
        super().log(level, msg, *args, **kwargs)


class Listeners:
    """All open listeners."""

    def __init__(self) -> None:
        self._runners: list[web.AppRunner] = []

    async def open(self, application: web.Application, *, host: str, port: int, section: str) -> list[str]:
        """Serve the application; the answer is its URLs. Raises ConfigError naming `section`'s key at fault."""
        runner = web.AppRunner(
            application,
            handle_signals=False,
            handler_cancellation=True,
            access_log=None,
            logger=ConnectionLog(logger),
            keepalive_timeout=IDLE_CONNECTION_SECONDS,
            shutdown_timeout=CLOSE_SECONDS,
        )
        await runner.setup()
        self._runners.append(runner)
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise _cannot_listen(error, host=host, port=port, section=section) from error
        urls = [url_of(address) for address in runner.addresses]
        for url in urls:
            logger.info("listening url=%s", url)
        return urls

    async def close(self) -> None:
        """Close the listeners and what is connected to them; what still runs is cancelled after CLOSE_SECONDS."""
        while self._runners:
            await self._runners.pop().cleanup()


def url_of(address: tuple[str, int]) -> str:
    """The URL of a socket's name; IPv6 addresses get their brackets."""
    host, port = address[0], address[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _cannot_listen(error: OSError, *, host: str, port: int, section: str) -> ConfigError:
    match error.errno:
        case errno.EADDRINUSE:
            return ConfigError(
                f"{section}.port is {port}, and another program listens there on {host}: end it, or set another port"
            )
        case errno.EACCES:
            return ConfigError(f"{section}.port is {port}, which this user may not open: set a port from 1024 up")
        case _:
            return ConfigError(
                f"{section}.host is {host!r}, and nothing can listen there ({error.strerror or error}): "
                "set an address of this machine"
            )
