"""The engine as the API sees it: what `EngineClient` and its `Generation` offer, and all that a double must."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from edge_agent.disk_prefix import DiskPrefix
from edge_agent.engine_client.client import PinnedPrefix
from edge_agent.engine_client.listener import EngineState
from edge_agent.engine_client.request import GenerationRequest
from edge_agent.protocol import Finished, ModelFacts, Prompt, SequenceReport, Tokenized


class Generation(Protocol):
    """An open answer: reports, then exactly one `Finished`. Raises EngineLostError when the engine ends."""

    @property
    def id(self) -> int: ...

    @property
    def num_prompt_tokens(self) -> int: ...

    def __aiter__(self) -> AsyncIterator[SequenceReport | Finished]: ...

    def cancel(self) -> None:
        """Free what the sequence holds; nothing happens when it is over."""


class Engine(Protocol):
    """What answers requests."""

    @property
    def state(self) -> EngineState: ...

    @property
    def model(self) -> ModelFacts | None: ...

    @property
    def load_error(self) -> str | None: ...

    @property
    def load_progress(self) -> float:
        """How much of the model file is read, 0 to 1."""

    @property
    def num_running(self) -> int: ...

    @property
    def num_waiting(self) -> int: ...

    def check_capacity(self) -> None:
        """Raise EngineUnavailableError or QueueFullError when a request would not be taken now."""

    async def submit(self, request: GenerationRequest) -> Generation:
        """The accepted request's answer. Raises RequestError or EngineError."""

    async def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> Tokenized: ...

    async def detokenize(self, tokens: list[int]) -> str: ...

    async def pin_prefix(self, prompt: Prompt, *, name: str | None, arrived: float) -> PinnedPrefix:
        """Compute a prefix and keep it on disk. Raises RequestError or EngineError."""

    async def list_prefixes(self) -> list[DiskPrefix]: ...

    async def drop_prefix(self, prefix_id: str) -> None:
        """Raises PrefixNotFoundError, EngineError."""
