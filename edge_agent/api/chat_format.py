"""OpenAI's chat shapes: `chat.completion` and its chunks, with log-probabilities as chat spells them. Pure."""

from __future__ import annotations

import msgspec

from edge_agent.api.answer_format import (
    SYSTEM_FINGERPRINT,
    AnswerHead,
    ChunkFrame,
    encode,
    finite_logprob,
    token_text,
)
from edge_agent.api.usage import Timings, Usage, timings_of
from edge_agent.protocol import Finished, TokenLogprob, TokenLogprobs

_OPENING = b'{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}'
_DELTA_START = b'{"index":0,"delta":{"content":'
_DELTA_END = b'},"logprobs":null,"finish_reason":null}'


class _Alternative(msgspec.Struct, frozen=True):
    token: str
    logprob: float
    bytes: list[int]


class _ContentLogprob(msgspec.Struct, frozen=True):
    token: str
    logprob: float
    bytes: list[int]
    top_logprobs: list[_Alternative]


class _ChoiceLogprobs(msgspec.Struct, frozen=True):
    content: list[_ContentLogprob]
    refusal: None = None


class _AnswerMessage(msgspec.Struct, frozen=True, kw_only=True):
    role: str = "assistant"
    content: str
    refusal: None = None


class _Choice(msgspec.Struct, frozen=True, kw_only=True):
    index: int = 0
    message: _AnswerMessage
    logprobs: _ChoiceLogprobs | None
    finish_reason: str


class _ChatCompletion(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    object: str = "chat.completion"
    created: int
    model: str
    system_fingerprint: str = SYSTEM_FINGERPRINT
    choices: list[_Choice]
    usage: Usage
    timings: Timings


class ChatFormat:
    """One chat answer, message by message; see `AnswerFormat`."""

    def __init__(self, head: AnswerHead, *, has_usage: bool) -> None:
        self._head = head
        self._frame = ChunkFrame(head, kind="chat.completion.chunk", has_usage=has_usage)

    def opening(self) -> bytes:
        return self._frame.event(_OPENING)

    def delta(self, text: str, logprobs: list[TokenLogprobs] | None) -> bytes:
        end = _DELTA_END
        if logprobs:
            end = b'},"logprobs":' + encode(_choice_logprobs(logprobs)) + b',"finish_reason":null}'
        return self._frame.event(_DELTA_START + encode(text) + end)

    def closing(self, finished: Finished, usage: Usage) -> bytes:
        reason = encode(finished.reason)
        choice = b'{"index":0,"delta":{},"logprobs":null,"finish_reason":' + reason + b"}"
        return self._frame.closing(choice, finished, usage)

    def whole(self, text: str, logprobs: list[TokenLogprobs] | None, finished: Finished, usage: Usage) -> bytes:
        choice = _Choice(
            message=_AnswerMessage(content=text),
            logprobs=None if logprobs is None else _choice_logprobs(logprobs),
            finish_reason=finished.reason.value,
        )
        return encode(
            _ChatCompletion(
                id=self._head.id,
                created=self._head.created,
                model=self._head.model,
                choices=[choice],
                usage=usage,
                timings=timings_of(finished),
            )
        )


def _choice_logprobs(logprobs: list[TokenLogprobs]) -> _ChoiceLogprobs:
    return _ChoiceLogprobs(content=[_content_logprob(token) for token in logprobs])


def _content_logprob(token: TokenLogprobs) -> _ContentLogprob:
    chosen = _alternative(token.chosen)
    return _ContentLogprob(
        token=chosen.token,
        logprob=chosen.logprob,
        bytes=chosen.bytes,
        top_logprobs=[_alternative(alternative) for alternative in token.top],
    )


def _alternative(token: TokenLogprob) -> _Alternative:
    return _Alternative(token=token_text(token.piece), logprob=finite_logprob(token.logprob), bytes=list(token.piece))
