"""Requests are let in until the drain starts; it is empty when the last one is out."""

from __future__ import annotations

import asyncio

import pytest

from edge_agent.api.drain import Drain
from edge_agent.errors import EngineUnavailableError


def test_nobody_is_let_in_once_it_is_started() -> None:
    drain = Drain()
    drain.start()
    with pytest.raises(EngineUnavailableError, match="shutting down") as caught, drain.admitted():
        pytest.fail("must not be let in")
    assert caught.value.retry_after_seconds == 10


async def test_it_is_empty_when_the_last_request_is_out() -> None:
    drain = Drain()
    with drain.admitted():
        with drain.admitted():
            drain.start()
            waiting = asyncio.create_task(drain.wait_empty())
        await asyncio.sleep(0)
        assert not waiting.done()
    await waiting


async def test_request_that_fails_is_out_too() -> None:
    drain = Drain()
    with pytest.raises(KeyError), drain.admitted():
        raise KeyError
    await drain.wait_empty()
