"""Log-probabilities as four lists; the other shapes are pinned in test_generation_endpoint."""

from __future__ import annotations

import msgspec

from edge_agent.api.answer_format import AnswerHead
from edge_agent.api.completion_format import CompletionFormat
from edge_agent.protocol import TokenLogprob, TokenLogprobs

HEAD = AnswerHead(id="cmpl-1", created=1, model="tiny")


def token(text: str, logprob: float) -> TokenLogprobs:
    chosen = TokenLogprob(token=1, piece=text.encode(), logprob=logprob)
    return TokenLogprobs(chosen=chosen, top=[chosen, TokenLogprob(token=2, piece=b"no", logprob=-4.0)])


def test_offsets_go_on_from_chunk_to_chunk() -> None:
    answer = CompletionFormat(HEAD, has_usage=False)
    events = [answer.delta("Hello", [token("Hel", -0.5), token("lo", -1.0)]), answer.delta("!", [token("!", -2.0)])]
    chunks = [msgspec.json.decode(event.removeprefix(b"data: ")) for event in events]
    assert [chunk["choices"][0]["logprobs"] for chunk in chunks] == [
        {
            "text_offset": [0, 3],
            "token_logprobs": [-0.5, -1.0],
            "tokens": ["Hel", "lo"],
            "top_logprobs": [{"Hel": -0.5, "no": -4.0}, {"lo": -1.0, "no": -4.0}],
        },
        {"text_offset": [5], "token_logprobs": [-2.0], "tokens": ["!"], "top_logprobs": [{"!": -2.0, "no": -4.0}]},
    ]
