"""OpenAI's completion shapes: `text_completion`, whole and in chunks, with log-probabilities as four lists. Pure."""

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
from edge_agent.protocol import Finished, TokenLogprobs

_KIND = "text_completion"
_DELTA_START = b'{"index":0,"text":'
_DELTA_END = b',"logprobs":null,"finish_reason":null}'


class _ListedLogprobs(msgspec.Struct, frozen=True):
    text_offset: list[int]
    token_logprobs: list[float]
    tokens: list[str]
    top_logprobs: list[dict[str, float]]


class _Choice(msgspec.Struct, frozen=True, kw_only=True):
    index: int = 0
    text: str
    logprobs: _ListedLogprobs | None
    finish_reason: str


class _TextCompletion(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    object: str = _KIND
    created: int
    model: str
    system_fingerprint: str = SYSTEM_FINGERPRINT
    choices: list[_Choice]
    usage: Usage
    timings: Timings


class CompletionFormat:
    """One text completion, message by message; see `AnswerFormat`."""

    def __init__(self, head: AnswerHead, *, has_usage: bool) -> None:
        self._head = head
        self._frame = ChunkFrame(head, kind=_KIND, has_usage=has_usage)
        self._text_offset = 0

    def opening(self) -> bytes:
        return b""

    def delta(self, text: str, logprobs: list[TokenLogprobs] | None) -> bytes:
        end = _DELTA_END
        if logprobs:
            end = b',"logprobs":' + encode(self._listed(logprobs)) + b',"finish_reason":null}'
        return self._frame.event(_DELTA_START + encode(text) + end)

    def closing(self, finished: Finished, usage: Usage) -> bytes:
        choice = b'{"index":0,"text":"","logprobs":null,"finish_reason":' + encode(finished.reason) + b"}"
        return self._frame.closing(choice, finished, usage)

    def whole(self, text: str, logprobs: list[TokenLogprobs] | None, finished: Finished, usage: Usage) -> bytes:
        choice = _Choice(
            text=text,
            logprobs=None if logprobs is None else self._listed(logprobs),
            finish_reason=finished.reason.value,
        )
        return encode(
            _TextCompletion(
                id=self._head.id,
                created=self._head.created,
                model=self._head.model,
                choices=[choice],
                usage=usage,
                timings=timings_of(finished),
            )
        )

    def _listed(self, logprobs: list[TokenLogprobs]) -> _ListedLogprobs:
        """The tokens' lists; offsets count the characters of all tokens so far."""
        tokens = [token_text(token.chosen.piece) for token in logprobs]
        offsets = []
        for text in tokens:
            offsets.append(self._text_offset)
            self._text_offset += len(text)
        return _ListedLogprobs(
            text_offset=offsets,
            token_logprobs=[finite_logprob(token.chosen.logprob) for token in logprobs],
            tokens=tokens,
            top_logprobs=[
                {token_text(each.piece): finite_logprob(each.logprob) for each in token.top} for token in logprobs
            ],
        )
