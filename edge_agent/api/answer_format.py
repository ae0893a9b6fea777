"""How an answer is spelled: what the chat and the completions endpoint differ in, and the chunk both stream.

Constant parts of a chunk are encoded once an answer, since one chunk is written for every token.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from edge_agent import __version__
from edge_agent.api.usage import Usage, timings_of
from edge_agent.protocol import Finished, TokenLogprobs

SYSTEM_FINGERPRINT = f"edge-agent-{__version__}"
DONE_EVENT = b"data: [DONE]\n\n"
# JSON knows no infinity; this is what vLLM sends for a probability of zero.
LOWEST_LOGPROB = -9999.0

encode = msgspec.json.encode


class AnswerHead(msgspec.Struct, frozen=True, kw_only=True):
    """What every message of one answer repeats. `created` is wall-clock seconds, as OpenAI sends it."""

    id: str
    created: int
    model: str


class AnswerFormat(Protocol):
    """One endpoint's spelling of one answer. Each method but `whole` returns complete SSE events."""

    def opening(self) -> bytes:
        """What precedes the first token; may be empty."""

    def delta(self, text: str, logprobs: list[TokenLogprobs] | None) -> bytes: ...

    def closing(self, finished: Finished, usage: Usage) -> bytes: ...

    def whole(self, text: str, logprobs: list[TokenLogprobs] | None, finished: Finished, usage: Usage) -> bytes:
        """The body of an answer that is not streamed."""


class ChunkFrame:
    """The bytes around a chunk's choice. Belongs to one answer."""

    def __init__(self, head: AnswerHead, *, kind: str, has_usage: bool) -> None:
        fields = {
            "id": head.id,
            "object": kind,
            "created": head.created,
            "model": head.model,
            "system_fingerprint": SYSTEM_FINGERPRINT,
        }
        self._has_usage = has_usage
        self._start = b"data: " + encode(fields)[:-1] + b',"choices":['
        # With include_usage every chunk has the field; only the last one fills it.
        self._end = b'],"usage":null' if has_usage else b"]"

    def event(self, choice: bytes) -> bytes:
        return b"".join((self._start, choice, self._end, b"}\n\n"))

    def closing(self, choice: bytes, finished: Finished, usage: Usage) -> bytes:
        """The chunk with the finish reason, the usage chunk where one was asked for, and the end of the stream."""
        timings = b',"timings":' + encode(timings_of(finished))
        events = [self._start, choice, self._end, timings, b"}\n\n"]
        if self._has_usage:
            events += [self._start, b'],"usage":', encode(usage), timings, b"}\n\n"]
        events.append(DONE_EVENT)
        return b"".join(events)


def token_text(piece: bytes) -> str:
    """A token's bytes as text; what is not UTF-8 by itself is replaced."""
    return piece.decode("utf-8", "replace")


def finite_logprob(logprob: float) -> float:
    """The log-probability as JSON can say it."""
    return max(LOWEST_LOGPROB, logprob)
