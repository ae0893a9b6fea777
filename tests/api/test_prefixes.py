"""Prefixes over HTTP: pinned, listed, dropped."""

from __future__ import annotations

import json

import pytest

from edge_agent.config import ServerSection
from edge_agent.disk_prefix import DiskPrefix
from edge_agent.errors import ContextLengthError, EngineUnavailableError, InvalidRequestError, PrefixStorageError
from edge_agent.protocol import ChatMessage, ChatPrompt, TextPrompt
from tests.api.fake_engine import FakeEngine
from tests.api.service import serving

PREFIX = DiskPrefix("prefix-01", "system", num_tokens=700, num_bytes=8_600_000, is_pinned=True, created=1_700_000_000)
KEPT = DiskPrefix("prefix-02", None, num_tokens=300, num_bytes=4_000_000, is_pinned=False, created=1_700_000_001)
SHAPE = (
    '{"id":"prefix-01","object":"prefix","name":"system","num_tokens":700,"num_bytes":8600000,"pinned":true,'
    '"created":1700000000}'
)
KEPT_SHAPE = (
    '{"id":"prefix-02","object":"prefix","name":null,"num_tokens":300,"num_bytes":4000000,"pinned":false,'
    '"created":1700000001}'
)


def engine_with(*prefixes: DiskPrefix) -> FakeEngine:
    engine = FakeEngine()
    engine.next_prefix = PREFIX
    engine.prefixes = {prefix.id: prefix for prefix in prefixes}
    return engine


async def test_a_new_prefix_is_created_and_an_old_one_is_found() -> None:
    engine = engine_with()
    body = {"messages": [{"role": "developer", "content": "Be brief."}], "name": "system"}
    async with serving(engine) as service:
        assert await service.post("/prefixes", body) == (201, SHAPE)
        assert await service.post("/prefixes", body) == (200, SHAPE)
    assert engine.pin_calls == [(ChatPrompt([ChatMessage("system", "Be brief.")]), "system")] * 2


async def test_text_can_be_kept_too() -> None:
    engine = engine_with()
    async with serving(engine) as service:
        assert (await service.post("/prefixes", {"prompt": "Once"}))[0] == 201
    assert engine.pin_calls == [(TextPrompt("Once"), None)]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "messages"),
        ({"prompt": ""}, "messages"),
        ({"prompt": "a", "messages": []}, "prompt"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": "a"}] * 3}, "messages"),
        ({"prompt": "a", "name": ""}, "name"),
        ({"prompt": "a", "name": "x" * 129}, "name"),
        ({"prompt": 5}, "prompt"),
    ],
)
async def test_bodies_that_cannot_be_kept_are_refused(body: object, param: str) -> None:
    engine = engine_with()
    async with serving(engine, limits=ServerSection(max_messages=2)) as service:
        status, text = await service.post("/prefixes", body)
    assert (status, json.loads(text)["error"]["param"]) == (400, param)
    assert engine.pin_calls == []


async def test_a_larger_body_than_allowed_is_refused() -> None:
    async with serving(engine_with(), limits=ServerSection(max_body_bytes=1024)) as service:
        assert (await service.post("/prefixes", {"prompt": "x" * 2000}))[0] == 413


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (PrefixStorageError("the disk is full"), 507, "insufficient_storage"),
        (InvalidRequestError("set scheduler.max_disk_prefix_bytes to more than 0"), 400, None),
        (ContextLengthError("too long", num_prompt_tokens=9, context_length=8), 400, "context_length_exceeded"),
        (EngineUnavailableError("restarting", retry_after_seconds=2), 503, "engine_unavailable"),
    ],
)
async def test_what_the_engine_refuses_is_said_in_openais_shape(
    error: Exception, status: int, code: str | None
) -> None:
    engine = engine_with()
    engine.refusal = error
    async with serving(engine) as service:
        found, text = await service.post("/prefixes", {"prompt": "a"})
    assert (found, json.loads(text)["error"]["code"]) == (status, code)
    assert json.loads(text)["error"]["message"] == str(error)


async def test_nothing_is_pinned_while_the_service_shuts_down() -> None:
    engine = engine_with()
    async with serving(engine) as service:
        service.drain.start()
        status, text = await service.post("/prefixes", {"prompt": "a"})
    assert (status, "shutting down" in text, engine.pin_calls) == (503, True, [])


async def test_all_prefixes_are_listed() -> None:
    async with serving(engine_with(PREFIX, KEPT)) as service:
        assert await service.get("/prefixes") == (200, f'{{"object":"list","data":[{SHAPE},{KEPT_SHAPE}]}}')
    async with serving(engine_with()) as service:
        assert await service.get("/prefixes") == (200, '{"object":"list","data":[]}')


async def test_a_prefix_is_dropped_once() -> None:
    engine = engine_with(PREFIX, KEPT)
    async with serving(engine) as service:
        async with service.http.delete("/prefixes/prefix-01") as response:
            assert response.status == 200
            assert await response.text() == '{"id":"prefix-01","object":"prefix","deleted":true}'
        async with service.http.delete("/prefixes/prefix-01") as response:
            assert response.status == 404
            error = (await response.json())["error"]
        assert (error["code"], "prefix-01" in error["message"]) == ("prefix_not_found", True)
        assert service.counted("edge_agent_http_requests_total", route="/prefixes/{id}", code="404") == 1
    assert list(engine.prefixes) == ["prefix-02"]


async def test_lists_and_drops_need_an_engine() -> None:
    engine = engine_with(PREFIX)
    engine.refusal = EngineUnavailableError("restarting", retry_after_seconds=2)
    async with serving(engine) as service:
        assert (await service.get("/prefixes"))[0] == 503
        async with service.http.delete("/prefixes/prefix-01") as response:
            assert response.status == 503
            assert response.headers["Retry-After"] == "2"
