"""Both generation endpoints over real HTTP, in front of a scripted engine."""

from __future__ import annotations

import asyncio
import gzip
import logging

import openai
import pytest

from edge_agent.config import ServerSection
from edge_agent.errors import (
    ContextLengthError,
    EngineLostError,
    EngineUnavailableError,
    InvalidRequestError,
    QueueFullError,
)
from edge_agent.protocol import FinishReason
from tests.api.fake_engine import FakeEngine, Script, finished, said
from tests.api.service import Service, serving

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
HI = {"messages": [{"role": "user", "content": "a secret greeting"}]}
STREAMED_HI = {**HI, "stream": True}

TIMINGS = (
    '"timings":{"cache_n":6,"prompt_n":10,"prompt_ms":500.0,"prompt_per_token_ms":50.0,"prompt_per_second":20.0,'
    '"predicted_n":3,"predicted_ms":250.0,"predicted_per_token_ms":125.0,"predicted_per_second":8.0}'
)
USAGE = (
    '"usage":{"prompt_tokens":16,"completion_tokens":3,"total_tokens":19,"prompt_tokens_details":{"cached_tokens":6}}'
)


async def post(service: Service, path: str, body: object) -> tuple[int, str]:
    """Status and text; the answer's random id becomes ID."""
    async with service.http.post(path, json=body) as response:
        text = await response.text()
        for prefix in ("chatcmpl-", "cmpl-"):
            start = text.find(f'"{prefix}')
            if start >= 0:
                text = text.replace(text[start + 1 : text.index('"', start + 1)], "ID")
        return response.status, text


def chat_event(rest: str) -> str:
    return (
        'data: {"id":"ID","object":"chat.completion.chunk","created":1700000000,"model":"smollm2-135m-instruct",'
        f'"system_fingerprint":"edge-agent-0.1.0",{rest}}}\n\n'
    )


# --- shapes ------------------------------------------------------------------------------------------------------


async def test_chat_answer_is_one_message_with_usage_and_timings() -> None:
    async with serving(FakeEngine()) as service:
        status, text = await post(service, CHAT, HI)
    assert status == 200
    assert text == (
        '{"id":"ID","object":"chat.completion","created":1700000000,"model":"smollm2-135m-instruct",'
        '"system_fingerprint":"edge-agent-0.1.0","choices":[{"index":0,"message":{"role":"assistant",'
        '"content":"Hello!","refusal":null},"logprobs":null,"finish_reason":"stop"}],' + USAGE + "," + TIMINGS + "}"
    )


async def test_chat_stream_gives_role_text_finish_reason_and_done() -> None:
    async with serving(FakeEngine()) as service:
        status, text = await post(service, CHAT, STREAMED_HI)
    nothing = '"logprobs":null,"finish_reason":null}]'
    assert status == 200
    assert text == "".join(
        (
            chat_event('"choices":[{"index":0,"delta":{"role":"assistant","content":""},' + nothing),
            chat_event('"choices":[{"index":0,"delta":{"content":"Hel"},' + nothing),
            chat_event('"choices":[{"index":0,"delta":{"content":"lo"},' + nothing),
            chat_event('"choices":[{"index":0,"delta":{"content":"!"},' + nothing),
            chat_event('"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}],' + TIMINGS),
            "data: [DONE]\n\n",
        )
    )


async def test_usage_chunk_has_no_choices_and_stands_before_done() -> None:
    async with serving(FakeEngine([finished(FinishReason.LENGTH)])) as service:
        _, text = await post(service, CHAT, {**STREAMED_HI, "stream_options": {"include_usage": True}})
    nothing = '"logprobs":null,"finish_reason":'
    assert text == "".join(
        (
            chat_event(
                '"choices":[{"index":0,"delta":{"role":"assistant","content":""},' + nothing + 'null}],"usage":null'
            ),
            chat_event('"choices":[{"index":0,"delta":{},' + nothing + '"length"}],"usage":null,' + TIMINGS),
            chat_event('"choices":[],' + USAGE + "," + TIMINGS),
            "data: [DONE]\n\n",
        )
    )


async def test_completion_answer_is_text_with_usage_and_timings() -> None:
    async with serving(FakeEngine()) as service:
        status, text = await post(service, COMPLETIONS, {"prompt": "Say hello"})
    assert status == 200
    assert text == (
        '{"id":"ID","object":"text_completion","created":1700000000,"model":"smollm2-135m-instruct",'
        '"system_fingerprint":"edge-agent-0.1.0","choices":[{"index":0,"text":"Hello!","logprobs":null,'
        '"finish_reason":"stop"}],' + USAGE + "," + TIMINGS + "}"
    )


async def test_completion_stream_gives_text_finish_reason_and_done() -> None:
    async with serving(FakeEngine([said("Hi", 1), finished()])) as service:
        _, text = await post(service, COMPLETIONS, {"prompt": "Say hello", "stream": True})
    event = chat_event("%s").replace("chat.completion.chunk", "text_completion")
    assert text == "".join(
        (
            event % '"choices":[{"index":0,"text":"Hi","logprobs":null,"finish_reason":null}]',
            event % ('"choices":[{"index":0,"text":"","logprobs":null,"finish_reason":"stop"}],' + TIMINGS),
            "data: [DONE]\n\n",
        )
    )


async def test_stream_is_marked_as_events_that_nobody_may_buffer() -> None:
    async with serving(FakeEngine()) as service, service.http.post(CHAT, json=STREAMED_HI) as response:
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert response.headers["Cache-Control"] == "no-cache"
        assert response.headers["X-Accel-Buffering"] == "no"


async def test_first_byte_goes_out_with_the_first_token_even_when_its_text_is_held_back() -> None:
    rest = asyncio.Event()
    script: Script = [said("", 1), rest, said("Hello", 2), finished()]
    async with serving(FakeEngine(script)) as service, service.http.post(CHAT, json=STREAMED_HI) as response:
        assert b'"role":"assistant"' in await response.content.readline()
        rest.set()
        assert b'"content":"Hello"' in await response.content.read()


async def test_body_is_read_as_json_whatever_the_content_type_claims() -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    body = b'{"messages": [{"role": "user", "content": "hi"}]}'
    async with serving(FakeEngine()) as service, service.http.post(CHAT, data=body, headers=headers) as response:
        assert response.status == 200


# --- the openai client -------------------------------------------------------------------------------------------


async def test_openai_client_reads_an_answer() -> None:
    async with serving(FakeEngine()) as service, openai.AsyncOpenAI(base_url=service.url + "v1", api_key="-") as client:
        answer = await client.chat.completions.create(model="any", messages=[{"role": "user", "content": "hi"}])
    assert answer.choices[0].message.content == "Hello!"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 19


async def test_openai_client_reads_a_stream() -> None:
    async with serving(FakeEngine()) as service, openai.AsyncOpenAI(base_url=service.url + "v1", api_key="-") as client:
        stream = await client.chat.completions.create(
            model="any",
            messages=[{"role": "user", "content": "hi"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Hello!"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 3


async def test_openai_client_reads_an_error_in_the_middle_of_a_stream() -> None:
    script: Script = [said("Hel", 1), EngineLostError("The engine ended.")]
    async with (
        serving(FakeEngine(script)) as service,
        openai.AsyncOpenAI(base_url=service.url + "v1", api_key="-") as client,
    ):
        stream = await client.chat.completions.create(
            model="any", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        with pytest.raises(openai.APIError, match=r"The engine ended\."):
            _ = [chunk async for chunk in stream]


# --- errors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [HI, STREAMED_HI], ids=["whole", "stream"])
async def test_context_overflow_is_a_400_with_both_numbers(body: dict[str, object]) -> None:
    engine = FakeEngine()
    engine.refusal = ContextLengthError("5000 tokens, 4096 fit.", num_prompt_tokens=5000, context_length=4096)
    async with serving(engine) as service:
        assert await post(service, CHAT, body) == (
            400,
            '{"error":{"message":"5000 tokens, 4096 fit.","type":"invalid_request_error","param":null,'
            '"code":"context_length_exceeded","n_prompt_tokens":5000,"n_ctx":4096}}',
        )
        assert service.counted("edge_agent_requests_rejected_total", reason="context_length") == 1
        assert service.counted("edge_agent_requests_total", endpoint="chat", outcome="rejected") == 1


async def test_full_queue_is_a_429_with_retry_after() -> None:
    engine = FakeEngine()
    engine.refusal = QueueFullError("32 requests wait.", retry_after_seconds=7)
    async with serving(engine) as service, service.http.post(CHAT, json=STREAMED_HI) as response:
        assert response.status == 429
        assert response.headers["Retry-After"] == "7"
        assert (await response.json())["error"] == {
            "message": "32 requests wait.",
            "type": "rate_limit_error",
            "param": None,
            "code": "queue_full",
        }
        assert service.counted("edge_agent_requests_rejected_total", reason="queue_full") == 1


async def test_missing_engine_is_a_503_with_retry_after() -> None:
    engine = FakeEngine()
    engine.refusal = EngineUnavailableError("The model is being loaded.", retry_after_seconds=3)
    async with serving(engine) as service, service.http.post(COMPLETIONS, json={"prompt": "x"}) as response:
        assert response.status == 503
        assert response.headers["Retry-After"] == "3"
        assert (await response.json())["error"]["code"] == "engine_unavailable"
        assert service.counted("edge_agent_requests_rejected_total", reason="engine_down") == 1


async def test_engines_own_refusal_names_the_parameter() -> None:
    engine = FakeEngine()
    engine.refusal = InvalidRequestError("Token 99999 is not in the vocabulary.", param="prompt")
    async with serving(engine) as service:
        status, text = await post(service, COMPLETIONS, {"prompt": [99999]})
        assert status == 400
        assert '"param":"prompt"' in text
        assert service.counted("edge_agent_requests_total", endpoint="completions", outcome="client_error") == 1


@pytest.mark.parametrize("body", [HI, STREAMED_HI], ids=["whole", "stream"])
async def test_engine_lost_before_the_first_token_is_a_503(body: dict[str, object]) -> None:
    async with serving(FakeEngine([EngineLostError("The engine ended.")])) as service:
        status, text = await post(service, CHAT, body)
        assert (status, '"code":"engine_lost"' in text) == (503, True)
        assert service.counted("edge_agent_requests_total", endpoint="chat", outcome="server_error") == 1
        assert service.counted("edge_agent_requests_finished_total", finish_reason="error") == 1


async def test_engine_lost_in_the_middle_is_an_error_event_without_done(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with serving(FakeEngine([said("Hel", 1), EngineLostError("The engine ended.")])) as service:
        status, text = await post(service, CHAT, STREAMED_HI)
        assert status == 200
        assert text.endswith(
            'data: {"error":{"message":"The engine ended.","type":"unavailable_error","param":null,'
            '"code":"engine_lost"}}\n\n'
        )
        assert service.counted("edge_agent_requests_total", endpoint="chat", outcome="server_error") == 1
    (record,) = [record for record in caplog.records if record.name == "edge_agent.request"]
    fields: dict[str, object] = record.fields  # type: ignore[attr-defined]
    assert (fields["status"], fields["outcome"]) == (200, "server_error")


async def test_sequence_that_the_engine_gave_up_is_a_500_with_its_reason() -> None:
    engine = FakeEngine([said("Hel", 1), finished(FinishReason.ERROR, error="llama_decode failed.")])
    async with serving(engine) as service:
        status, text = await post(service, CHAT, HI)
        assert status == 500
        assert '"message":"llama_decode failed.","type":"server_error"' in text
        assert service.counted("edge_agent_requests_total", endpoint="chat", outcome="server_error") == 1


@pytest.mark.parametrize("script", [[], [said("Hel", 1)]], ids=["before the first token", "in the middle"])
async def test_unexpected_error_tells_the_log_and_not_the_client(
    script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(FakeEngine([*script, KeyError("an inside")])) as service:
        _, text = await post(service, CHAT, STREAMED_HI)
    assert '"code":"internal_error"' in text
    assert "an inside" not in text
    assert "KeyError: 'an inside'" in caplog.text


async def test_body_above_the_limit_is_a_413() -> None:
    async with serving(FakeEngine(), limits=ServerSection(max_body_bytes=1024)) as service:
        status, text = await post(service, CHAT, {"messages": [{"role": "user", "content": "x" * 2000}]})
        assert (status, '"code":"body_too_large"' in text) == (413, True)
        assert service.counted("edge_agent_requests_total", endpoint="chat", outcome="client_error") == 1


@pytest.mark.parametrize(
    ("data", "status", "message"),
    [
        (gzip.compress(b'{"messages":[],"x":"' + b"x" * 100_000 + b'"}'), 413, "larger than server.max_body_bytes"),
        (b"no gzip at all", 400, "not encoded as Content-Encoding"),
    ],
    ids=["bomb", "garbage"],
)
async def test_compressed_body_is_held_to_the_same_limit(data: bytes, status: int, message: str) -> None:
    headers = {"Content-Encoding": "gzip"}
    async with (
        serving(FakeEngine(), limits=ServerSection(max_body_bytes=4096)) as service,
        service.http.post(CHAT, data=data, headers=headers) as response,
    ):
        assert response.status == status
        assert message in await response.text()


# --- clients that leave ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [HI, STREAMED_HI], ids=["whole", "stream"])
async def test_client_that_leaves_while_being_answered_has_its_sequence_cancelled(body: dict[str, object]) -> None:
    engine = FakeEngine([said("Hel", 1), asyncio.Event()])
    async with serving(engine) as service:
        asking = asyncio.create_task(post(service, CHAT, body))
        await engine.accepted.wait()
        await engine.generations[0].waiting.wait()
        asking.cancel()
        async with asyncio.timeout(10):
            await engine.generations[0].cancelled.wait()
        assert service.counted("edge_agent_requests_total", endpoint="chat", outcome="cancelled") == 1
        assert service.counted("edge_agent_http_requests_total", route=CHAT, code="499") == 1


async def test_client_that_leaves_before_it_is_accepted_cancels_its_submission() -> None:
    engine = FakeEngine()
    engine.acceptance.clear()
    async with serving(engine) as service:
        asking = asyncio.create_task(post(service, CHAT, HI))
        await engine.submitted.wait()
        asking.cancel()
        async with asyncio.timeout(10):
            await engine.submit_cancelled.wait()


async def test_sequence_is_let_go_when_its_answer_is_complete() -> None:
    engine = FakeEngine()
    async with serving(engine) as service:
        await post(service, CHAT, HI)
    assert engine.generations[0].cancelled.is_set()


# --- keep-alive --------------------------------------------------------------------------------------------------


async def test_stream_with_nothing_to_say_sends_comments() -> None:
    first_token = asyncio.Event()
    engine = FakeEngine([first_token, said("Hi", 1), finished()])
    limits = ServerSection(keepalive_seconds=0.01)
    async with serving(engine, limits=limits) as service, service.http.post(CHAT, json=STREAMED_HI) as response:
        assert response.status == 200
        assert await response.content.readuntil(b"\n\n") == b": keep-alive\n\n"
        assert await response.content.readuntil(b"\n\n") == b": keep-alive\n\n"
        first_token.set()
        assert b'"content":"Hi"' in await response.content.read()


# --- drain and log -----------------------------------------------------------------------------------------------


async def test_draining_service_refuses_new_requests_and_waits_for_the_open_one() -> None:
    rest = asyncio.Event()
    engine = FakeEngine([said("Hi", 1), rest, finished()])
    async with serving(engine) as service, service.http.post(CHAT, json=STREAMED_HI) as response:
        service.drain.start()
        status, text = await post(service, CHAT, HI)
        assert (status, "shutting down" in text) == (503, True)
        empty = asyncio.create_task(service.drain.wait_empty())
        await asyncio.sleep(0)
        assert not empty.done()
        rest.set()
        await empty
        assert (await response.content.read()).endswith(b"data: [DONE]\n\n")


async def test_log_line_has_times_and_counts_and_no_text(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with serving(FakeEngine()) as service:
            await post(service, CHAT, STREAMED_HI)
    (record,) = [record for record in caplog.records if record.name == "edge_agent.request"]
    fields: dict[str, object] = record.fields  # type: ignore[attr-defined]
    assert str(fields.pop("id")).startswith("chatcmpl-")
    assert fields == {
        "endpoint": "chat",
        "outcome": "ok",
        "finish_reason": "stop",
        "status": 200,
        "prompt_tokens": 16,
        "cached_tokens": 6,
        "generated_tokens": 3,
        "queue_seconds": 0.25,
        "ttft_seconds": 0.75,
        "duration_seconds": 1.0,
        "tokens_per_second": 8.0,
        "stream": True,
    }
    assert "secret" not in caplog.text
    assert "Hel" not in caplog.text
