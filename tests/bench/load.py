"""Asks a server and takes the times of a whole workload, as its users see it. One event loop, beside the server's load.

Inside the stopwatch: connecting, sending, the server, and reading its stream. A piece of text counts when it is read.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from .workload import Message, Question, User


class BenchError(Exception):
    """A server did not do its work, so that there is nothing to compare."""


@dataclass(slots=True)
class Answer:
    """One answer's moments and tokens. `asked` and `pieces` are seconds of one clock."""

    asked: float
    pieces: list[float] = field(default_factory=list)
    text: str = ""
    num_tokens: int = 0
    num_prompt_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Figures:
    """A workload's figures. Seconds; tokens/s are all generated tokens by the whole time, pauses included.

    `num_prompt_tokens` are those of all requests, 0 for a server that does not tell.
    """

    tokens_per_second: float
    first_token_seconds: float
    longest_gap_seconds: float
    wall_seconds: float
    num_tokens: int
    num_prompt_tokens: int


async def measure(url: str, users: list[User], *, clock: Callable[[], float] = time.perf_counter) -> Figures:
    """Run a workload against the server at `url`. Raises BenchError for any request that is not answered in full."""
    timeout = aiohttp.ClientTimeout(total=900)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(force_close=True)) as http:
        started = clock()
        answers = await _all_answers(http, url, users, clock)
        wall_seconds = clock() - started
    return figures_of(answers, wall_seconds=wall_seconds)


def figures_of(answers: list[Answer], *, wall_seconds: float) -> Figures:
    """The figures of these answers: the median of the first pieces' times, the longest of all gaps between pieces."""
    firsts = sorted(answer.pieces[0] - answer.asked for answer in answers)
    gaps = [
        later - earlier for answer in answers for earlier, later in zip(answer.pieces, answer.pieces[1:], strict=False)
    ]
    num_tokens = sum(answer.num_tokens for answer in answers)
    return Figures(
        tokens_per_second=num_tokens / wall_seconds,
        first_token_seconds=firsts[len(firsts) // 2],
        longest_gap_seconds=max(gaps, default=0.0),
        wall_seconds=wall_seconds,
        num_tokens=num_tokens,
        num_prompt_tokens=sum(answer.num_prompt_tokens for answer in answers),
    )


async def _all_answers(
    http: aiohttp.ClientSession, url: str, users: list[User], clock: Callable[[], float]
) -> list[Answer]:
    try:
        conversations = await asyncio.gather(*_conversations(http, url, users, clock))
    except (aiohttp.ClientError, TimeoutError) as error:
        raise BenchError(f"{url} broke off: {error!r}") from error
    return [answer for answers in conversations for answer in answers]


def _conversations(
    http: aiohttp.ClientSession, url: str, users: list[User], clock: Callable[[], float]
) -> Iterator[Coroutine[Any, Any, list[Answer]]]:
    """One for each user; who intrudes waits until all others have their first text."""
    begun = [asyncio.Event() for _ in users]
    waited_for = [event for event, user in zip(begun, users, strict=True) if not user.intrudes]
    for event, user in zip(begun, users, strict=True):
        yield _converse(http, url, user, clock, begun=event, after=waited_for if user.intrudes else [])


async def _converse(
    http: aiohttp.ClientSession,
    url: str,
    user: User,
    clock: Callable[[], float],
    *,
    begun: asyncio.Event,
    after: list[asyncio.Event],
) -> list[Answer]:
    for event in after:
        await event.wait()
    said: list[Message] = []
    answers = []
    for question in user.questions:
        messages = [*said, *question.messages] if question.follows else question.messages
        answer = await _ask(http, url, question, messages, clock, begun)
        answers.append(answer)
        said = [*messages, {"role": "assistant", "content": answer.text}]
    return answers


async def _ask(
    http: aiohttp.ClientSession,
    url: str,
    question: Question,
    messages: list[Message],
    clock: Callable[[], float],
    begun: asyncio.Event,
) -> Answer:
    body = {
        "model": "bench",
        "messages": messages,
        "max_tokens": question.max_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        # A full answer from everyone: who stops early has not done the same work. llama-cpp-python's server knows the
        # second word only, the others the first.
        "ignore_eos": True,
        "min_tokens": question.max_tokens,
    }
    answer = Answer(asked=clock())
    async with http.post(f"{url}/v1/chat/completions", json=body) as response:
        if response.status != 200:
            raise BenchError(f"{url} answered {response.status}: {(await response.text())[:300]}")
        async for line in response.content:
            if line.startswith(b"data: {"):
                _take(json.loads(line[6:]), answer, question, now=clock())
                if answer.pieces:
                    begun.set()
    if answer.num_tokens != question.max_tokens or not answer.pieces:
        raise BenchError(f"{url} generated {answer.num_tokens} tokens of {question.max_tokens}")
    return answer


def _take(event: dict[str, Any], answer: Answer, question: Question, *, now: float) -> None:
    if "error" in event:
        raise BenchError(f"the stream broke off: {event['error']}")
    for choice in event.get("choices", []):
        if piece := (choice.get("delta") or {}).get("content"):
            answer.pieces.append(now)
            answer.text += piece
        if choice.get("finish_reason") == "length":
            # What a server without usage in its stream says of the number.
            answer.num_tokens = question.max_tokens
    usage = event.get("usage") or {}
    answer.num_tokens = usage.get("completion_tokens", answer.num_tokens)
    answer.num_prompt_tokens = usage.get("prompt_tokens", answer.num_prompt_tokens)
