"""What the README promises a new user, as the user would do it."""

import json
import subprocess

from openai import OpenAI

from .product import Product

QUESTION = "What is the capital of France? Answer in one sentence."


def test_curl_streams_an_answer(product: Product) -> None:
    body = '{"messages":[{"role":"user","content":"Why is the sky blue?"}],"stream":true,"max_tokens":24}'
    output = subprocess.run(
        ["curl", "-sSN", f"{product.url}/v1/chat/completions", "-d", body],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    events = [line.removeprefix("data: ") for line in output.splitlines() if line.startswith("data: ")]
    chunks = [json.loads(event) for event in events[:-1]]

    assert events[-1] == "[DONE]"
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert len("".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)) > 20
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"
    assert chunks[-1]["timings"]["predicted_n"] == 24


def test_the_openai_client_gets_a_whole_answer(product: Product) -> None:
    with OpenAI(base_url=f"{product.url}/v1", api_key="none") as client:
        answer = client.chat.completions.create(
            model="any", messages=[{"role": "user", "content": QUESTION}], temperature=0, max_tokens=40
        )
    assert "Paris" in (answer.choices[0].message.content or "")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_the_openai_client_gets_a_stream_with_usage(product: Product) -> None:
    with (
        OpenAI(base_url=f"{product.url}/v1", api_key="none") as client,
        client.chat.completions.create(
            model="any",
            messages=[{"role": "user", "content": QUESTION}],
            temperature=0,
            max_completion_tokens=40,
            stream=True,
            stream_options={"include_usage": True},
        ) as stream,
    ):
        chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    usage = chunks[-1].usage
    assert "Paris" in text
    assert usage is not None
    assert usage.completion_tokens > 3


def test_the_openai_client_completes_plain_text(product: Product) -> None:
    with OpenAI(base_url=f"{product.url}/v1", api_key="none") as client:
        answer = client.completions.create(model="any", prompt="1, 2, 3, 4,", temperature=0, max_tokens=4)
    assert answer.choices[0].text.startswith(" 5")


def test_a_second_turn_reuses_the_first(product: Product) -> None:
    messages = [{"role": "user", "content": "Please remember the word copper. " * 10}]
    first = product.request("/v1/chat/completions", {"messages": messages, "max_tokens": 16, "temperature": 0}).json()
    messages += [first["choices"][0]["message"], {"role": "user", "content": "Which word?"}]
    second = product.request("/v1/chat/completions", {"messages": messages, "max_tokens": 4, "temperature": 0}).json()

    # The template's own beginning is every conversation's.
    assert first["usage"]["prompt_tokens_details"]["cached_tokens"] < first["usage"]["prompt_tokens"] / 2
    assert second["usage"]["prompt_tokens_details"]["cached_tokens"] >= first["usage"]["prompt_tokens"]


def test_a_user_finds_the_model_and_its_context_length(product: Product) -> None:
    models = product.request("/v1/models").json()["data"]
    assert [model["id"] for model in models] == ["SmolLM2-135M-Instruct.Q4_1"]
    assert product.request(f"/v1/models/{models[0]['id']}").status == 200
    assert product.request("/v1/models/other").status == 404


def test_too_long_a_prompt_is_an_error_before_any_byte_of_a_stream(product: Product) -> None:
    reply = product.chat("word " * 9000, stream=True)
    error = reply.json()["error"]
    assert reply.status == 400
    assert error["code"] == "context_length_exceeded"
    assert "4096" in error["message"]
