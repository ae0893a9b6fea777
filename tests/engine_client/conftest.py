"""Clients in front of scripted engines, each stopped at the end of its test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from edge_agent.engine_client.client import EngineClient
from edge_agent.engine_client.request import GenerationRequest
from edge_agent.engine_client.watch_limits import WatchLimits
from edge_agent.protocol import EngineSettings, TextPrompt
from tests.engine_client.recording_listener import RecordingListener
from tests.engine_client.scripted_engine import AnyInstruction, count_lives, make_settings, read_journal, write_script

LIMITS = WatchLimits(first_backoff_seconds=0.01, stop_seconds=5.0, drain_seconds=5.0)


class Bench:
    """A started client, what its listener heard, and the script that its engine follows."""

    def __init__(self, script: Path, client: EngineClient, listener: RecordingListener) -> None:
        self.client = client
        self.listener = listener
        self._script = script

    @property
    def num_spawned(self) -> int:
        return count_lives(self._script)

    def commands(self, tag: str) -> list[dict[str, Any]]:
        """The commands of this type that the engine has read."""
        return [command for command in read_journal(self._script) if command["type"] == tag]


class StartClient(Protocol):
    async def __call__(
        self,
        *lives: list[AnyInstruction],
        settings: EngineSettings = ...,
        queue_size: int = ...,
        limits: WatchLimits = ...,
        listener: RecordingListener = ...,
        **options: Any,
    ) -> Bench: ...


@pytest.fixture
async def start_client(tmp_path: Path) -> AsyncIterator[StartClient]:
    """Start a client whose engine processes live the given lives, one list of instructions each."""
    benches: list[Bench] = []

    async def start(
        *lives: list[AnyInstruction],
        settings: EngineSettings | None = None,
        queue_size: int = 2,
        limits: WatchLimits = LIMITS,
        listener: RecordingListener | None = None,
        **options: Any,
    ) -> Bench:
        script = tmp_path / f"script{len(benches)}.json"
        options.setdefault("command", write_script(script, *lives))
        listener = listener or RecordingListener()
        client = EngineClient(
            settings or make_settings(), listener=listener, queue_size=queue_size, limits=limits, **options
        )
        benches.append(Bench(script, client, listener))
        await client.start()
        return benches[-1]

    yield start
    for bench in benches:
        await bench.client.stop()


def make_request(text: str = "Hi", **changes: Any) -> GenerationRequest:
    return GenerationRequest(prompt=TextPrompt(text), arrived=1.0, **changes)


def child_pids() -> set[int]:
    """The processes whose parent this one is, zombies too."""
    children = [path.read_text().split() for path in Path("/proc/self/task").glob("*/children")]
    return {int(pid) for pids in children for pid in pids}
