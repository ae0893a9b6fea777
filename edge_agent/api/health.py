"""GET /health: does the agent live? GET /ready: would a request be taken now? Neither waits for the engine."""

from __future__ import annotations

import msgspec
from aiohttp import web

from edge_agent.api.drain import Drain
from edge_agent.api.engine import Engine
from edge_agent.api.error_responses import ErrorBody, error_answer
from edge_agent.engine_client.listener import EngineState
from edge_agent.errors import EngineUnavailableError, QueueFullError

_ALIVE = b'{"status":"ok"}'
_READY = b'{"status":"ready"}'


class _NotReady(msgspec.Struct, frozen=True):
    # stopping, queue_full, or the engine's state.
    status: str
    error: ErrorBody


class HealthEndpoints:
    """The two handlers."""

    def __init__(self, engine: Engine, drain: Drain) -> None:
        self._engine = engine
        self._drain = drain

    async def alive(self, _request: web.Request) -> web.Response:
        return web.Response(body=_ALIVE, content_type="application/json")

    async def ready(self, _request: web.Request) -> web.Response:
        try:
            self._drain.check()
        except EngineUnavailableError as error:
            return _not_ready("stopping", error)
        try:
            self._engine.check_capacity()
        except QueueFullError as error:
            return _not_ready("queue_full", error)
        except EngineUnavailableError as error:
            return _not_ready(_reason(self._engine.state), error)
        return web.Response(body=_READY, content_type="application/json")


def _reason(state: EngineState) -> str:
    # Ready, but silent: the client would not take a request although the model is loaded.
    return "engine_unavailable" if state is EngineState.READY else state.value


def _not_ready(status: str, error: EngineUnavailableError | QueueFullError) -> web.Response:
    return web.Response(
        status=web.HTTPServiceUnavailable.status_code,
        body=msgspec.json.encode(_NotReady(status, error_answer(error).body)),
        content_type="application/json",
        headers={"Retry-After": str(error.retry_after_seconds)},
    )
