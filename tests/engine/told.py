"""What a model told, with how sure it was of each token: answers to compare token for token."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_agent.protocol import Finished, SamplingSettings, Tokenize, Tokenized, TokenPrompt

from .engine_under_test import GREEDY, EngineUnderTest

# Natural logarithm. llama.cpp adds up in another order for one row than for several, and for cells that lie elsewhere
# once there are 512: logits then differ by up to 0.8 here. Two tokens nearer than this may so change places.
NEAR_TIE = 1.0


@dataclass(frozen=True)
class Told:
    """An answer's tokens, their log-probabilities, and by how much the likeliest token led the next one."""

    tokens: list[int]
    logprobs: list[float]
    leads: list[float]
    finished: Finished


def ask_all(
    engine: EngineUnderTest, prompts: list[list[int]], *, num_tokens: int = 24, sampling: SamplingSettings = GREEDY
) -> list[Told]:
    """Submit all at once; answers of exactly `num_tokens`, in the order of the prompts."""
    ids = [
        engine.submit(TokenPrompt(prompt), sampling=sampling, max_tokens=num_tokens, ignore_eos=True, num_logprobs=2)
        for prompt in prompts
    ]
    finished = {done.id: done for done in (engine.finish_any() for _ in ids)}
    return [_told(engine, finished[request_id]) for request_id in ids]


def ask(engine: EngineUnderTest, prompt: list[int], **options: Any) -> Told:
    return ask_all(engine, [prompt], **options)[0]


def _told(engine: EngineUnderTest, finished: Finished) -> Told:
    entries = [entry for report in engine.reports_of(finished.id) for entry in report.logprobs or []]
    tokens = engine.tokens_of(finished.id)
    assert [entry.chosen.token for entry in entries] == tokens
    return Told(
        tokens,
        [entry.chosen.logprob for entry in entries],
        [entry.top[0].logprob - entry.top[1].logprob for entry in entries],
        finished,
    )


def assert_identical(told: list[Told], expected: list[Told]) -> None:
    """The same tokens with the same log-probabilities, to the last bit."""
    assert [t.tokens for t in told] == [t.tokens for t in expected]
    assert [t.logprobs for t in told] == [t.logprobs for t in expected]


def assert_equal_but_near_ties(told: list[Told], expected: list[Told]) -> None:
    """The same tokens up to a near tie, each about as likely; half of all tokens are before one.

    Not more than half: who shares a step with whom, and so where the first near tie turns, depends on the machine.
    """
    num_equal = sum(map(_num_equal, told, expected))
    num_tokens = sum(len(t.tokens) for t in expected)
    assert num_equal >= 0.5 * num_tokens, f"{num_equal} of {num_tokens} tokens are before a near tie"


def _num_equal(told: Told, expected: Told) -> int:
    assert len(told.tokens) == len(expected.tokens)
    for index, (token, other) in enumerate(zip(told.tokens, expected.tokens, strict=True)):
        if token != other:
            leads = (told.leads[index], expected.leads[index])
            assert min(leads) < NEAR_TIE, f"token {index} is {token}, not {other}, with leads of {leads}"
            return index
        assert abs(told.logprobs[index] - expected.logprobs[index]) < NEAR_TIE, f"token {index}"
    return len(told.tokens)


def licence_tokens(engine: EngineUnderTest) -> list[int]:
    """Two thousand and more tokens of English that no edit of this project changes."""
    text = (Path(__file__).parents[2] / "LICENSE").read_text(encoding="utf-8")
    engine.send(Tokenize(10**6, text, add_special=False, parse_special=False))
    answer = engine.next_answer()
    assert isinstance(answer, Tokenized)
    return answer.tokens
