"""Finds a receiver's addresses, by the system's rules (hosts file, DNS, mDNS), without holding up the agent's end.

For aiohttp, which has one look-up at a time for each name however often it is given up. Event loop.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from edge_agent.telemetry.remote_write.detached_call import detached

# `socket.getaddrinfo`, or what a test puts in its place.
Lookup = Callable[..., list[tuple[Any, ...]]]


class NameResolver(AbstractResolver):
    """Raises OSError or UnicodeError for a name that has no address."""

    def __init__(self, lookup: Lookup = socket.getaddrinfo) -> None:
        self._lookup = lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return await detached(lambda: self._found(host, port, family))

    async def close(self) -> None:
        """Nothing is held."""

    def _found(self, host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
        found = self._lookup(host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        return [_result(host, address_family, proto, address) for address_family, _, proto, _, address in found]


def _result(host: str, family: socket.AddressFamily, proto: int, address: tuple[Any, ...]) -> ResolveResult:
    # As digits, with the interface of a link-local address behind them.
    flags = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    numeric_host, numeric_port = socket.getnameinfo(address, flags)
    return ResolveResult(
        hostname=host,
        host=numeric_host,
        port=int(numeric_port),
        family=family,
        proto=proto,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )
