"""The API on a real listener, in front of a `FakeEngine`, with real telemetry behind it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from prometheus_client import CollectorRegistry

from edge_agent.api.accounting import Accounting
from edge_agent.api.drain import Drain
from edge_agent.api.generation_endpoint import GenerationContext
from edge_agent.api.routes import ApiParts, add_metrics_route, build_api
from edge_agent.api.status import StatusContext
from edge_agent.config import SchedulerSection, ServerSection
from edge_agent.device.snapshot import DeviceSnapshot
from edge_agent.telemetry.telemetry import Telemetry, build_telemetry
from tests.api.fake_engine import FakeEngine


class Service:
    """A running API and a client session to it."""

    def __init__(self, engine: FakeEngine, telemetry: Telemetry, drain: Drain, http: ClientSession, url: str) -> None:
        self.engine = engine
        self.telemetry = telemetry
        self.drain = drain
        self.http = http
        self.url = url

    async def get(self, path: str) -> tuple[int, str]:
        """Status and text."""
        async with self.http.get(path) as response:
            return response.status, await response.text()

    async def post(self, path: str, body: object) -> tuple[int, str]:
        """Status and text of the answer to this JSON."""
        async with self.http.post(path, json=body) as response:
            return response.status, await response.text()

    def counted(self, name: str, **labels: str) -> float:
        """The value of a series; 0 where it does not exist."""
        return sample(self.telemetry.registry, name, **labels)


def sample(registry: CollectorRegistry, name: str, **labels: str) -> float:
    """The value of one series, found by the labels that are given."""
    for metric in registry.collect():
        for each in metric.samples:
            if each.name == name and labels.items() <= each.labels.items():
                return float(each.value)
    return 0.0


def api_parts(
    engine: FakeEngine, telemetry: Telemetry, drain: Drain, limits: ServerSection, device: DeviceSnapshot
) -> ApiParts:
    """All that the routes need, around the engine; requests arrive at 100, the wall clock says 1,700,000,000."""
    accounting = Accounting(
        metrics=telemetry.service,
        log=telemetry.request_log,
        sequences_lost=telemetry.engine.sequences_lost,
        clock=lambda: 100.0,
    )
    generation = GenerationContext(
        engine=engine,
        accounting=accounting,
        drain=drain,
        limits=limits,
        model_alias="smollm2-135m-instruct",
        clock=time.monotonic,
        wall_clock=lambda: 1_700_000_000.5,
    )
    status = StatusContext(
        engine=engine,
        model_alias="smollm2-135m-instruct",
        scheduler=SchedulerSection(max_sequences=4, queue_size=32),
        counted=telemetry.engine,
        device=lambda: device,
        instance="edge-1",
        clock=lambda: 100.0,
    )
    return ApiParts(generation, telemetry.service, telemetry.exposition, status)


@asynccontextmanager
async def serving(
    engine: FakeEngine, *, limits: ServerSection | None = None, device: DeviceSnapshot | None = None
) -> AsyncIterator[Service]:
    """The API on a port of its own, for the length of the block."""
    telemetry = build_telemetry(model_alias="smollm2-135m-instruct", version="0.1.0")
    drain = Drain()
    parts = api_parts(engine, telemetry, drain, limits or ServerSection(), device or DeviceSnapshot())
    application = build_api(parts)
    add_metrics_route(application, parts)
    async with _running(application) as url, ClientSession(base_url=url) as http:
        yield Service(engine, telemetry, drain, http, url)


@asynccontextmanager
async def _running(application: web.Application) -> AsyncIterator[str]:
    server = TestServer(application)
    await server.start_server()
    try:
        yield str(server.make_url("/"))
    finally:
        await server.close()
