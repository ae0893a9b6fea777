"""GET /v1/models and /v1/models/{id}: the one model that is served, with llama-server's facts about it."""

from __future__ import annotations

import msgspec
from aiohttp import web

from edge_agent.api.engine import Engine
from edge_agent.errors import ModelNotFoundError
from edge_agent.protocol import ModelFacts


class _ModelMeta(msgspec.Struct, frozen=True):
    n_vocab: int
    n_ctx: int
    n_ctx_train: int
    n_params: int
    size: int


class _Model(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    object: str = "model"
    created: int
    owned_by: str = "edge-agent"
    # Null until the model is loaded.
    meta: _ModelMeta | None


class _ModelList(msgspec.Struct, frozen=True):
    data: list[_Model]
    object: str = "list"


class ModelEndpoints:
    """The two handlers. `created` is wall-clock seconds of the service's start."""

    def __init__(self, engine: Engine, *, alias: str, created: int) -> None:
        self._engine = engine
        self._alias = alias
        self._created = created

    async def list(self, _request: web.Request) -> web.Response:
        return _json(_ModelList([self._model()]))

    async def show(self, request: web.Request) -> web.Response:
        if request.match_info["id"] != self._alias:
            raise ModelNotFoundError(f"There is no such model here. The loaded model is '{self._alias}'.")
        return _json(self._model())

    def _model(self) -> _Model:
        return _Model(id=self._alias, created=self._created, meta=_meta(self._engine.model))


def _meta(facts: ModelFacts | None) -> _ModelMeta | None:
    if facts is None:
        return None
    return _ModelMeta(
        n_vocab=facts.vocabulary_size,
        n_ctx=facts.context_length,
        n_ctx_train=facts.trained_context_length,
        n_params=facts.num_parameters,
        size=facts.size_bytes,
    )


def _json(body: msgspec.Struct) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")
