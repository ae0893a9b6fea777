"""Measures what a pinned system prompt saves the first user after a restart: against the same start without it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import aiohttp

from .comparison import Figure, Row, rows_of
from .contenders import Work, edge_agent
from .goals import COLD
from .load import BenchError, Figures, measure
from .servers import Server, running
from .workload import Message, asking, instructions

TITLE = "pinned prefix"
# Computing 700 tokens takes a Pi a minute; writing them, seconds.
PIN_SECONDS = 300


def measure_restarts(
    work: Work, settings: Mapping[str, object], *, num_rounds: int, say: Callable[[str], None]
) -> list[Row]:
    """Time to first token, cold and restarted. Raises BenchError."""
    pairs = []
    for number in range(num_rounds):
        with tempfile.TemporaryDirectory() as folder:
            pairs.append(_restart(edge_agent(Path(folder), work, settings), instructions(f"restart {number}")))
        say(f"round {number + 1} of {num_rounds}: {TITLE}")
    cold, restarted = ([pair[index] for pair in pairs] for index in (0, 1))
    return [row for row in rows_of(TITLE, COLD, cold, restarted) if row.figure is Figure.FIRST_TOKEN]


def _restart(server: Server, system: Message) -> tuple[Figures, Figures]:
    """The first answer of a server that knows nothing, and of one that found the pinned prompt on its disk."""
    with running(server) as first:
        cold = asyncio.run(measure(first.url, [asking(system, "What is a kettle?", max_tokens=16)]))
        asyncio.run(_pin(first.url, system))
    with running(server) as second:
        restarted = asyncio.run(measure(second.url, [asking(system, "What is a lantern?", max_tokens=16)]))
    return cold, restarted


async def _pin(url: str, system: Message) -> None:
    """Returns when the prefix is on the disk."""
    timeout = aiohttp.ClientTimeout(total=PIN_SECONDS)
    async with (
        aiohttp.ClientSession(timeout=timeout) as http,
        http.post(f"{url}/prefixes", json={"messages": [system]}) as response,
    ):
        if response.status not in {200, 201}:
            raise BenchError(f"POST /prefixes was answered {response.status}: {(await response.text())[:300]}")
