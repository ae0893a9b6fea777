"""Bodies in the engine's terms."""

from __future__ import annotations

import json

import msgspec
import pytest

from edge_agent.api.body import decode_body
from edge_agent.api.generation_request import chat_request, completion_request
from edge_agent.api.request_types import ChatBody, CompletionBody
from edge_agent.config import ServerSection
from edge_agent.engine_client.request import GenerationRequest
from edge_agent.errors import InvalidRequestError
from edge_agent.protocol import ChatMessage, ChatPrompt, Prompt, SamplingSettings, TextPrompt, TokenPrompt

CHAT = msgspec.json.Decoder(ChatBody)
COMPLETION = msgspec.json.Decoder(CompletionBody)
HI = {"role": "user", "content": "hi"}


def chat(**changes: object) -> GenerationRequest:
    body = decode_body(json.dumps({"messages": [HI], **changes}).encode(), CHAT)
    return chat_request(body, arrived=12.5, limits=ServerSection())


def completion(**changes: object) -> GenerationRequest:
    body = decode_body(json.dumps({"prompt": "x", **changes}).encode(), COMPLETION)
    return completion_request(body, arrived=12.5, limits=ServerSection())


def test_absent_parameters_take_llama_servers_defaults() -> None:
    assert chat() == GenerationRequest(
        prompt=ChatPrompt(messages=[ChatMessage(role="user", content="hi")]),
        arrived=12.5,
        sampling=SamplingSettings(temperature=0.8, top_k=40, top_p=0.95, min_p=0.05),
    )


def test_every_parameter_reaches_the_engine() -> None:
    request = chat(
        max_tokens=7,
        stop=["a", "b"],
        ignore_eos=True,
        logprobs=True,
        top_logprobs=3,
        temperature=0,
        top_p=0.5,
        top_k=10,
        min_p=0.1,
        repeat_penalty=1.1,
        presence_penalty=0.2,
        frequency_penalty=-0.2,
        seed=42,
        logit_bias={"15": -100},
    )
    assert (request.max_tokens, request.stop, request.ignore_eos, request.num_logprobs) == (7, ["a", "b"], True, 3)
    assert request.sampling == SamplingSettings(
        temperature=0.0,
        top_k=10,
        top_p=0.5,
        min_p=0.1,
        repeat_penalty=1.1,
        presence_penalty=0.2,
        frequency_penalty=-0.2,
        seed=42,
        logit_bias={15: -100.0},
    )


def test_max_completion_tokens_is_the_newer_word_and_wins() -> None:
    assert chat(max_completion_tokens=5, max_tokens=9).max_tokens == 5


@pytest.mark.parametrize("max_tokens", [None, -1])
def test_answer_without_a_limit_goes_on_until_the_context_ends(max_tokens: int | None) -> None:
    assert chat(max_tokens=max_tokens).max_tokens is None


def test_no_tokens_at_all_cannot_be_asked_for() -> None:
    with pytest.raises(InvalidRequestError, match="'max_tokens' is 0"):
        completion(max_tokens=0)


def test_stop_may_be_one_string() -> None:
    assert chat(stop="END").stop == ["END"]


@pytest.mark.parametrize("top_k", [0, -1])
def test_top_k_may_be_switched_off_in_both_dialects(top_k: int) -> None:
    assert chat(top_k=top_k).sampling.top_k == 0


@pytest.mark.parametrize(
    ("seed", "expected"),
    [(None, None), (-1, None), (0, 0), (4294967294, 4294967294), (4294967295, 0), (-2, 4294967293)],
)
def test_seed_is_folded_into_32_bits_and_never_means_any(seed: int | None, expected: int | None) -> None:
    assert chat(seed=seed).sampling.seed == expected


def test_parts_of_text_are_joined_by_line_ends() -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    request = chat(messages=[{"role": "developer", "content": parts}, {"role": "assistant", "content": None}])
    assert request.prompt == ChatPrompt(
        messages=[ChatMessage(role="system", content="one\ntwo"), ChatMessage(role="assistant", content="")]
    )


def test_chat_logprobs_without_alternatives_report_the_token_alone() -> None:
    assert chat(logprobs=True).num_logprobs == 0


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("text", TextPrompt(text="text")),
        (["text"], TextPrompt(text="text")),
        ([1, 2], TokenPrompt(tokens=[1, 2])),
        ([7], TokenPrompt(tokens=[7])),
        ([[1, 2]], TokenPrompt(tokens=[1, 2])),
    ],
)
def test_prompt_has_four_spellings(prompt: object, expected: Prompt) -> None:
    assert completion(prompt=prompt).prompt == expected


@pytest.mark.parametrize("prompt", [[], ["a", "b"], [[1], [2]], [1, "a"], [[]], [-1], [[2**31]]])
def test_prompt_that_is_not_one_prompt_is_refused(prompt: object) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        completion(prompt=prompt)
    assert caught.value.param == "prompt"


def test_completion_logprobs_are_the_number_of_alternatives() -> None:
    assert completion(logprobs=2).num_logprobs == 2
