"""What is over a limit, or not served, is refused with the parameter's name and what to do."""

from __future__ import annotations

import json

import msgspec
import pytest

from edge_agent.api.body import decode_body
from edge_agent.api.limits import check_chat, check_completion
from edge_agent.api.request_types import ChatBody, CompletionBody
from edge_agent.config import ServerSection
from edge_agent.errors import InvalidRequestError

CHAT = msgspec.json.Decoder(ChatBody)
COMPLETION = msgspec.json.Decoder(CompletionBody)
HI = {"role": "user", "content": "hi"}
LIMITS = ServerSection(max_messages=3, max_stop_strings=2, max_stop_characters=4, max_logit_bias=2)


def chat_refusal(**changes: object) -> InvalidRequestError:
    body = decode_body(json.dumps({"messages": [HI], **changes}).encode(), CHAT)
    with pytest.raises(InvalidRequestError) as caught:
        check_chat(body, LIMITS)
    return caught.value


def check(**changes: object) -> None:
    check_chat(decode_body(json.dumps({"messages": [HI], **changes}).encode(), CHAT), LIMITS)


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [HI] * 4}, "messages"),
        ({"messages": [{"role": "wizard", "content": "hi"}]}, "messages[0].role"),
        ({"messages": [HI, {"role": "tool", "content": "42"}]}, "messages[1].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "x"}]}]}, "messages[0].tool_calls"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content"),
        ({"stop": ["a", "b", "c"]}, "stop"),
        ({"stop": "abcde"}, "stop"),
        ({"stop": ""}, "stop"),
        ({"stop": ["a", ""]}, "stop"),
        ({"logit_bias": {"1": 1, "2": 1, "3": 1}}, "logit_bias"),
        ({"logit_bias": {"-1": 1}}, "logit_bias"),
        ({"logit_bias": {"99999999999999999999": 1}}, "logit_bias"),
        ({"n": 2}, "n"),
        ({"n": 0}, "n"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"tools": [{"type": "function"}], "tool_choice": "auto"}, "tools"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"response_format": {"type": 7}}, "response_format"),
        ({"response_format": "text"}, "response_format"),
        ({"json_schema": {"type": "object"}}, "json_schema"),
        ({"grammar": 'root ::= "yes"'}, "grammar"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"top_logprobs": 3}, "top_logprobs"),
    ],
)
def test_chat_refuses_by_name(changes: dict[str, object], param: str) -> None:
    assert chat_refusal(**changes).param == param


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": [HI] * 3},
        {"messages": [{"role": "assistant", "content": None}, HI]},
        {"messages": [{"role": "user", "content": []}]},
        {"stop": ["abcd", "b"]},
        {"stop": []},
        {"logit_bias": {"1": -100, "2": 100}},
        {"n": 1},
        {"tools": []},
        {"tools": [{"type": "function"}], "tool_choice": "none"},
        {"response_format": {"type": "text"}},
        {"response_format": None},
        {"grammar": ""},
        {"modalities": ["text"]},
        {"logprobs": True, "top_logprobs": 20},
        {"user": "someone", "store": True, "metadata": {"a": "b"}},
    ],
)
def test_chat_takes_what_is_within_the_limits(changes: dict[str, object]) -> None:
    check(**changes)


def test_refusal_says_the_limit_and_the_key_that_sets_it() -> None:
    assert str(chat_refusal(messages=[HI] * 4)) == (
        "'messages' has 4 messages, at most 3 are allowed (server.max_messages)."
    )


@pytest.mark.parametrize(
    ("changes", "param"),
    [({"echo": True}, "echo"), ({"suffix": "end"}, "suffix"), ({"best_of": 2}, "best_of"), ({"n": 3}, "n")],
)
def test_completions_refuse_by_name(changes: dict[str, object], param: str) -> None:
    body = decode_body(json.dumps({"prompt": "x", **changes}).encode(), COMPLETION)
    with pytest.raises(InvalidRequestError) as caught:
        check_completion(body, LIMITS)
    assert caught.value.param == param


def test_completions_take_the_values_that_ask_for_nothing() -> None:
    body = decode_body(b'{"prompt":"x","echo":false,"suffix":"","best_of":1,"n":1}', COMPLETION)
    check_completion(body, LIMITS)
