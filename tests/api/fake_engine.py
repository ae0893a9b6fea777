"""An engine in this process: answers with a script, remembers what it was asked, and holds still when told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from edge_agent.disk_prefix import DiskPrefix
from edge_agent.engine_client.client import PinnedPrefix
from edge_agent.engine_client.listener import EngineState
from edge_agent.engine_client.request import GenerationRequest
from edge_agent.errors import PrefixNotFoundError
from edge_agent.protocol import (
    Finished,
    FinishReason,
    ModelFacts,
    Prompt,
    PromptTokens,
    SequenceReport,
    SequenceTimes,
    Tokenized,
    TokenLogprobs,
)

MODEL = ModelFacts(
    architecture="llama",
    quantization="Q4_1",
    num_parameters=134_515_008,
    size_bytes=98_000_000,
    context_length=2048,
    trained_context_length=2048,
    kv_cells=4096,
    vocabulary_size=49152,
    max_batch_tokens=512,
    num_gpu_layers=0,
    load_seconds=0.5,
    llama_cpp_version="0.3.36",
)

# Queued 0.25 s, prefill 0.5 s for 10 computed tokens, then 2 more tokens in 0.25 s.
TIMES = SequenceTimes(
    arrived=100.0, queued=100.0, scheduled=100.25, first_token=100.75, last_token=101.0, finished=101.0
)


def said(text: str, token: int, logprobs: TokenLogprobs | None = None) -> SequenceReport:
    """The report of one step that sampled one token."""
    return SequenceReport(id=1, text=text, tokens=[token], logprobs=None if logprobs is None else [logprobs])


def finished(reason: FinishReason = FinishReason.STOP, *, text: str = "", error: str | None = None) -> Finished:
    """The end of a three-token answer to 16 prompt tokens, 6 of them cached."""
    return Finished(
        id=1,
        reason=reason,
        times=TIMES,
        prompt=PromptTokens(computed=10, memory=5, disk=1),
        num_generated_tokens=3,
        text=text,
        error=error,
    )


HELLO = (said("Hel", 1), said("lo", 2), said("", 3), finished(text="!"))

Script = Sequence[SequenceReport | Finished | Exception | asyncio.Event]


class FakeGeneration:
    """Plays a script: yields messages, raises exceptions, waits for events."""

    def __init__(self, request: GenerationRequest, script: Script) -> None:
        self.id = 1
        self.num_prompt_tokens = 16
        self.request = request
        self.cancelled = asyncio.Event()
        self.waiting = asyncio.Event()
        self._script = script

    async def __aiter__(self) -> AsyncIterator[SequenceReport | Finished]:
        for item in self._script:
            if isinstance(item, Exception):
                raise item
            if isinstance(item, asyncio.Event):
                self.waiting.set()
                await item.wait()
            else:
                yield item

    def cancel(self) -> None:
        self.cancelled.set()


class FakeEngine:
    """An `Engine` whose every answer a test chose beforehand."""

    def __init__(self, script: Script = HELLO) -> None:
        self.state = EngineState.READY
        self.model: ModelFacts | None = MODEL
        self.load_error: str | None = None
        self.load_progress = 1.0
        self.num_running = 0
        self.num_waiting = 0
        self.script = script
        self.refusal: Exception | None = None
        # Set before a request is accepted, where a test wants to be there in between.
        self.acceptance = asyncio.Event()
        self.acceptance.set()
        self.submitted = asyncio.Event()
        self.accepted = asyncio.Event()
        self.submit_cancelled = asyncio.Event()
        self.generations: list[FakeGeneration] = []
        self.tokenize_calls: list[tuple[str, bool, bool]] = []
        # What a pin makes of its prompt, and what is on disk by id.
        self.next_prefix = DiskPrefix("prefix-0", None, num_tokens=1, num_bytes=100, is_pinned=True, created=0)
        self.prefixes: dict[str, DiskPrefix] = {}
        self.pin_calls: list[tuple[Prompt, str | None]] = []

    @property
    def request(self) -> GenerationRequest:
        """The last request that was accepted."""
        return self.generations[-1].request

    def check_capacity(self) -> None:
        if self.refusal is not None:
            raise self.refusal

    async def submit(self, request: GenerationRequest) -> FakeGeneration:
        self.submitted.set()
        self.check_capacity()
        try:
            await self.acceptance.wait()
        except asyncio.CancelledError:
            self.submit_cancelled.set()
            raise
        generation = FakeGeneration(request, self.script)
        self.generations.append(generation)
        self.accepted.set()
        return generation

    async def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> Tokenized:
        self.check_capacity()
        self.tokenize_calls.append((text, add_special, parse_special))
        return Tokenized(id=1, tokens=[17, 42], pieces=[b"Hi", b"\xe2\x82"])

    async def detokenize(self, tokens: list[int]) -> str:
        self.check_capacity()
        return " ".join(str(token) for token in tokens)

    async def pin_prefix(self, prompt: Prompt, *, name: str | None, arrived: float) -> PinnedPrefix:
        self.check_capacity()
        self.pin_calls.append((prompt, name))
        is_new = self.next_prefix.id not in self.prefixes
        self.prefixes[self.next_prefix.id] = self.next_prefix
        return PinnedPrefix(self.next_prefix, is_new=is_new)

    async def list_prefixes(self) -> list[DiskPrefix]:
        self.check_capacity()
        return list(self.prefixes.values())

    async def drop_prefix(self, prefix_id: str) -> None:
        self.check_capacity()
        if self.prefixes.pop(prefix_id, None) is None:
            raise PrefixNotFoundError(f"There is no prefix '{prefix_id}' here.")
