"""Log-probabilities as chat spells them; the other shapes are pinned in test_generation_endpoint."""

from __future__ import annotations

from typing import Any

import msgspec

from edge_agent.api.answer_format import AnswerHead
from edge_agent.api.chat_format import ChatFormat
from edge_agent.api.usage import usage_of
from edge_agent.protocol import TokenLogprob, TokenLogprobs
from tests.api.fake_engine import finished

HEAD = AnswerHead(id="chatcmpl-1", created=1, model="tiny")
EURO_START = TokenLogprobs(
    chosen=TokenLogprob(token=5, piece=b"\xe2\x82", logprob=-0.5),
    top=[TokenLogprob(token=6, piece=b"Hi", logprob=float("-inf"))],
)
EXPECTED = {
    "content": [
        {
            "token": "\ufffd",
            "logprob": -0.5,
            "bytes": [226, 130],
            "top_logprobs": [{"token": "Hi", "logprob": -9999.0, "bytes": [72, 105]}],
        }
    ],
    "refusal": None,
}


def decoded(data: bytes) -> dict[str, Any]:
    answer: dict[str, Any] = msgspec.json.decode(data)
    return answer


def test_chunk_has_the_token_its_bytes_and_the_alternatives() -> None:
    event = ChatFormat(HEAD, has_usage=False).delta("", [EURO_START])
    choice = decoded(event.removeprefix(b"data: "))["choices"][0]
    assert choice == {"index": 0, "delta": {"content": ""}, "logprobs": EXPECTED, "finish_reason": None}


def test_whole_answer_has_them_in_its_choice() -> None:
    end = finished()
    body = ChatFormat(HEAD, has_usage=False).whole("€", [EURO_START], end, usage_of(end, num_prompt_tokens=16))
    assert decoded(body)["choices"][0]["logprobs"] == EXPECTED


def test_text_that_needs_escapes_survives() -> None:
    event = ChatFormat(HEAD, has_usage=False).delta('"\n\\\u2028\x00', None)
    assert event.count(b"\n") == 2
    assert decoded(event.removeprefix(b"data: "))["choices"][0]["delta"] == {"content": '"\n\\\u2028\x00'}
