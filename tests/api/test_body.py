"""Every way in which bytes can fail to be the struct ends in an InvalidRequestError."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.api.body import decode_body
from edge_agent.api.request_types import ChatBody, CompletionBody
from edge_agent.errors import InvalidRequestError

CHAT = msgspec.json.Decoder(ChatBody)
COMPLETION = msgspec.json.Decoder(CompletionBody)
DEPTH = 100_000


def refusal(body: bytes) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as caught:
        decode_body(body, CHAT)
    return caught.value


def with_messages(rest: str) -> bytes:
    return b'{"messages":[{"role":"user","content":"hi"}],' + rest.encode() + b"}"


@pytest.mark.parametrize(
    ("rest", "param", "message"),
    [
        ('"temperature":"hot"', "temperature", "'temperature': expected number | null, got string."),
        ('"temperature":9', "temperature", "'temperature': expected number <= 5.0."),
        ('"temperature":-0.1', "temperature", "'temperature': expected number >= 0.0."),
        ('"temperature":1e999', "temperature", "'temperature': number out of range."),
        ('"top_p":1.5', "top_p", "'top_p': expected number <= 1.0."),
        ('"repeat_penalty":0', "repeat_penalty", "'repeat_penalty': expected number >= 0.01."),
        ('"max_tokens":1.5', "max_tokens", "'max_tokens': expected integer | null, got number."),
        ('"max_tokens":-2', "max_tokens", "'max_tokens': expected integer >= -1."),
        ('"seed":9223372036854775808', "seed", "'seed': expected integer <= 9223372036854775807."),
        ('"stream":"yes"', "stream", "'stream': expected boolean | null, got string."),
        ('"stop":[1]', "stop[0]", "'stop[0]': expected string, got integer."),
        ('"logit_bias":{"a":1}', "logit_bias", "'logit_bias': expected integer, got string."),
        ('"logit_bias":{"1":101}', "logit_bias", "'logit_bias': expected number <= 100.0."),
        ('"top_logprobs":21', "top_logprobs", "'top_logprobs': expected integer <= 20."),
    ],
)
def test_wrong_value_is_named_with_what_was_expected(rest: str, param: str, message: str) -> None:
    error = refusal(with_messages(rest))
    assert (error.param, str(error)) == (param, message)


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        (b"{}", "messages", "'messages' is required."),
        (b'{"messages":[{}]}', "messages[0].role", "'messages[0].role' is required."),
        (
            b'{"messages":[{"role":"user","content":[{"type":3}]}]}',
            "messages[0].content[0].type",
            "'messages[0].content[0].type': expected string, got integer.",
        ),
        (b"[]", None, "The body is not what this endpoint takes: Expected object, got array."),
    ],
)
def test_wrong_structure_is_named_by_its_place(body: bytes, param: str | None, message: str) -> None:
    error = refusal(body)
    assert (error.param, str(error)) == (param, message)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b'{"messages":[',
        b'{"messages":[]} {"messages":[]}',
        with_messages('"temperature":NaN'),
        with_messages('"temperature":Infinity'),
        b'{"messages":[{"role":"user","content":"\\ud800"}]}',
        b'\xef\xbb\xbf{"messages":[]}',
    ],
)
def test_broken_json_is_refused(body: bytes) -> None:
    assert str(refusal(body)).startswith("The body is not valid JSON: ")


def test_text_that_is_not_utf8_is_refused() -> None:
    assert "UTF-8" in str(refusal(b'{"messages":[{"role":"user","content":"\xff"}]}'))


@pytest.mark.parametrize(
    "body",
    [
        with_messages('"unknown":' + "[" * DEPTH + "]" * DEPTH),
        with_messages('"tools":' + '{"a":' * DEPTH + "1" + "}" * DEPTH),
        with_messages('"response_format":' + "[" * DEPTH),
    ],
    ids=["unknown key", "kept raw", "never closed"],
)
def test_deep_nesting_is_refused(body: bytes) -> None:
    assert str(refusal(body)).startswith("The body is nested too deeply.")


def test_unknown_keys_are_ignored_and_null_means_the_default() -> None:
    body = decode_body(with_messages('"user":"me","temperature":null,"stop":null,"tools":null'), CHAT)
    assert (body.temperature, body.stop) == (None, None)


@settings(max_examples=50, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists))
def test_any_prompt_is_a_struct_or_a_refusal(prompt: object) -> None:
    data = json.dumps({"prompt": prompt}, ensure_ascii=True).encode()
    try:
        body = decode_body(data, COMPLETION)
    except InvalidRequestError:
        return
    assert isinstance(body.prompt, str | list)
