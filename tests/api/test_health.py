"""Alive is one thing, ready another; both are told without the engine."""

from __future__ import annotations

import pytest

from edge_agent.engine_client.listener import EngineState
from edge_agent.errors import EngineUnavailableError, QueueFullError
from tests.api.fake_engine import FakeEngine
from tests.api.service import serving


@pytest.mark.parametrize("path", ["/health", "/v1/health"])
async def test_health_is_ok_while_the_agent_lives(path: str) -> None:
    engine = FakeEngine()
    engine.refusal = EngineUnavailableError("The engine is being restarted.", retry_after_seconds=2)
    async with serving(engine) as service:
        assert await service.get(path) == (200, '{"status":"ok"}')


async def test_ready_when_a_request_would_be_taken() -> None:
    async with serving(FakeEngine()) as service:
        assert await service.get("/ready") == (200, '{"status":"ready"}')


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (EngineState.LOADING, "loading"),
        (EngineState.RESTARTING, "restarting"),
        (EngineState.LOAD_FAILED, "load_failed"),
        (EngineState.STOPPED, "stopped"),
    ],
)
async def test_not_ready_says_in_which_state_the_engine_is(state: EngineState, status: str) -> None:
    engine = FakeEngine()
    engine.state = state
    engine.refusal = EngineUnavailableError("No engine.", retry_after_seconds=4)
    async with serving(engine) as service, service.http.get("/ready") as response:
        assert response.status == 503
        assert response.headers["Retry-After"] == "4"
        assert await response.json() == {
            "status": status,
            "error": {
                "message": "No engine.",
                "type": "unavailable_error",
                "param": None,
                "code": "engine_unavailable",
            },
        }


async def test_not_ready_while_the_queue_is_full() -> None:
    engine = FakeEngine()
    engine.refusal = QueueFullError("32 requests wait.", retry_after_seconds=1)
    async with serving(engine) as service:
        status, text = await service.get("/ready")
    assert (status, text.startswith('{"status":"queue_full"')) == (503, True)


async def test_not_ready_while_draining() -> None:
    async with serving(FakeEngine()) as service:
        service.drain.start()
        status, text = await service.get("/ready")
    assert (status, text.startswith('{"status":"stopping"')) == (503, True)
