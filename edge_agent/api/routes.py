"""Which path leads to which handler. Builds the aiohttp applications; opens no socket."""

from __future__ import annotations

from typing import NamedTuple

from aiohttp import web

from edge_agent.api.generation_endpoint import CHAT, COMPLETIONS, GenerationContext, GenerationEndpoint
from edge_agent.api.health import HealthEndpoints
from edge_agent.api.metrics import MetricsEndpoint
from edge_agent.api.middleware import error_fence, request_counter
from edge_agent.api.models import ModelEndpoints
from edge_agent.api.prefixes import PrefixEndpoints
from edge_agent.api.status import StatusContext, StatusEndpoint
from edge_agent.api.tokens import TokenEndpoints
from edge_agent.telemetry.exposition import Exposition
from edge_agent.telemetry.service_metrics import ServiceMetrics


class ApiParts(NamedTuple):
    """What the routes need beyond what generation needs."""

    generation: GenerationContext
    metrics: ServiceMetrics
    exposition: Exposition
    status: StatusContext


def build_api(parts: ApiParts) -> web.Application:
    """Everything for clients, without /metrics."""
    generation = parts.generation
    engine = generation.engine
    health = HealthEndpoints(engine, generation.drain)
    models = ModelEndpoints(engine, alias=generation.model_alias, created=int(generation.wall_clock()))
    tokens = TokenEndpoints(engine)
    prefixes = PrefixEndpoints(engine, drain=generation.drain, limits=generation.limits, clock=generation.clock)
    application = _application(parts, max_body_bytes=generation.limits.max_body_bytes)
    application.add_routes(
        [
            web.post("/v1/chat/completions", GenerationEndpoint(CHAT, generation).handle),
            web.post("/v1/completions", GenerationEndpoint(COMPLETIONS, generation).handle),
            web.get("/v1/models", models.list),
            web.get("/v1/models/{id:.+}", models.show),
            web.post("/tokenize", tokens.tokenize),
            web.post("/detokenize", tokens.detokenize),
            web.post("/prefixes", prefixes.pin),
            web.get("/prefixes", prefixes.list),
            web.delete("/prefixes/{id}", prefixes.drop),
            web.get("/health", health.alive),
            web.get("/v1/health", health.alive),
            web.get("/ready", health.ready),
            web.get("/status", StatusEndpoint(parts.status).handle),
        ]
    )
    return application


def build_metrics_application(parts: ApiParts) -> web.Application:
    """/metrics alone, for a listener of its own."""
    # 1 KiB: a scrape has no body.
    application = _application(parts, max_body_bytes=1024)
    add_metrics_route(application, parts)
    return application


def add_metrics_route(application: web.Application, parts: ApiParts) -> None:
    """/metrics on the clients' listener."""
    application.router.add_get("/metrics", MetricsEndpoint(parts.exposition).handle)


def _application(parts: ApiParts, *, max_body_bytes: int) -> web.Application:
    return web.Application(middlewares=[request_counter(parts.metrics), error_fence], client_max_size=max_body_bytes)
