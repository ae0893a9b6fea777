"""Listeners tell their URLs, and what a client sends that is no HTTP costs no traceback."""

from __future__ import annotations

import asyncio
import logging

import pytest
from aiohttp import web

from edge_agent.api.listeners import Listeners, url_of


@pytest.mark.parametrize(
    ("address", "url"),
    [(("127.0.0.1", 8080), "http://127.0.0.1:8080"), (("::1", 8080), "http://[::1]:8080")],
)
def test_url_of_an_ipv6_address_has_brackets(address: tuple[str, int], url: str) -> None:
    assert url_of(address) == url


async def test_bytes_that_are_no_http_get_a_400_and_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    listeners = Listeners()
    try:
        (url,) = await listeners.open(web.Application(), host="127.0.0.1", port=0, section="server")
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
        writer.write(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.0 400 ")
        writer.close()
        await writer.wait_closed()
    finally:
        await listeners.close()
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []
