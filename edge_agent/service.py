"""The service's parts, put together and taken apart again: engine, telemetry, API, listeners.

What the parts do, they know themselves; when to start and to end, `app` knows. Event loop of the agent process.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from edge_agent import __version__
from edge_agent.api.accounting import Accounting
from edge_agent.api.drain import Drain
from edge_agent.api.generation_endpoint import GenerationContext
from edge_agent.api.listeners import Listeners
from edge_agent.api.routes import ApiParts, add_metrics_route, build_api, build_metrics_application
from edge_agent.api.status import StatusContext
from edge_agent.config import Config
from edge_agent.device.board import Board, open_board
from edge_agent.device.status_led import StatusLed
from edge_agent.engine_client.client import EngineClient
from edge_agent.engine_tuning import auto_tuner, prepare_tuned_load
from edge_agent.models.store import ModelFile
from edge_agent.status_light import show_status
from edge_agent.telemetry.event_loop_lag import measure_event_loop_lag
from edge_agent.telemetry.exposition import ExposedSeries
from edge_agent.telemetry.remote_write.remote_write import RemoteWrite
from edge_agent.telemetry.target_labels import TargetLabels
from edge_agent.telemetry.telemetry import Telemetry, build_telemetry
from edge_agent.tuning.auto_tuner import tuning_when_idle
from edge_agent.web.pages import add_pages

ENGINE_COMMAND = (sys.executable, "-m", "edge_agent.engine")


class Service(NamedTuple):
    """The parts of a running service."""

    engine: EngineClient
    telemetry: Telemetry
    drain: Drain
    board: Board
    urls: list[str]
    metrics_urls: list[str]


@contextlib.asynccontextmanager
async def service_running(
    config: Config,
    *,
    model_file: ModelFile,
    environ: Mapping[str, str],
    state_dir: Path,
    engine_command: Sequence[str] = ENGINE_COMMAND,
) -> AsyncIterator[Service]:
    """The service for the length of the block: listening at once, while the model is still loaded.

    Raises ConfigError when an address cannot be listened on; then no engine has been started.
    """
    board = open_board(config.device, state_dir=state_dir, folders=[state_dir, model_file.path.parent])
    telemetry = build_telemetry(
        model_alias=model_file.alias,
        version=__version__,
        file_sha256=(model_file.sha256 or "")[:12],
        device=board.sampler.snapshot,
    )
    prepared = await asyncio.to_thread(prepare_tuned_load, config, model_file, state_dir=state_dir)
    engine = EngineClient(
        prepared.load.settings,
        listener=telemetry.engine,
        queue_size=config.scheduler.queue_size,
        check_file=prepared.load.check,
        fallback=prepared.fallback,
        command=engine_command,
        environ=environ,
    )
    service_drain = Drain()
    parts = _api_parts(
        config, model_file=model_file, board=board, engine=engine, telemetry=telemetry, drain=service_drain
    )
    listeners = Listeners()
    async with _watching(config, board=board, engine=engine, telemetry=telemetry):
        try:
            urls, metrics_urls = await _open_listeners(listeners, config, parts)
            await engine.start()
            tuner = auto_tuner(config, prepared, engine=engine, environ=environ, device=board.sampler.snapshot)
            async with tuning_when_idle(tuner):
                yield Service(engine, telemetry, service_drain, board, urls, metrics_urls)
        finally:
            service_drain.start()
            # The engine first: requests that are still open learn from it that they are lost, while they can be told.
            await engine.stop()
            await listeners.close()


@contextlib.asynccontextmanager
async def _watching(config: Config, *, board: Board, engine: EngineClient, telemetry: Telemetry) -> AsyncIterator[None]:
    """Everything that only looks, for the length of the block: sensors, the loop's lag, the status LED, the push."""
    tasks: list[asyncio.Task[object]] = [asyncio.create_task(measure_event_loop_lag(telemetry.service.event_loop_lag))]
    led = None if config.gpio.status_led_pin is None else StatusLed(config.gpio.status_led_pin)
    if led is not None:
        tasks.append(asyncio.create_task(show_status(led, lambda: engine.state, board.thermal_state)))
    push = _push(config, board=board, telemetry=telemetry)
    board.sampler.start()
    await push.start()
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        # The engine has ended by now: the last samples hold its last counts.
        await push.close()
        await asyncio.to_thread(board.sampler.close)
        if led is not None:
            await asyncio.to_thread(led.close)


def _push(config: Config, *, board: Board, telemetry: Telemetry) -> RemoteWrite:
    return RemoteWrite(
        config.telemetry.remote_write,
        series=ExposedSeries(telemetry.registry),
        labels=TargetLabels(board.instance, config.telemetry.external_labels),
        metrics=telemetry.metrics,
        version=__version__,
    )


def _api_parts(
    config: Config, *, model_file: ModelFile, board: Board, engine: EngineClient, telemetry: Telemetry, drain: Drain
) -> ApiParts:
    accounting = Accounting(
        metrics=telemetry.service,
        log=telemetry.request_log,
        sequences_lost=telemetry.engine.sequences_lost,
        clock=time.monotonic,
    )
    generation = GenerationContext(
        engine=engine,
        accounting=accounting,
        drain=drain,
        limits=config.server,
        model_alias=model_file.alias,
        clock=time.monotonic,
        wall_clock=time.time,
    )
    status = StatusContext(
        engine=engine,
        model_alias=model_file.alias,
        scheduler=config.scheduler,
        counted=telemetry.engine,
        device=board.sampler.snapshot,
        instance=board.instance,
        clock=time.monotonic,
    )
    return ApiParts(generation, telemetry.service, telemetry.exposition, status)


async def _open_listeners(listeners: Listeners, config: Config, parts: ApiParts) -> tuple[list[str], list[str]]:
    """The URLs of the API and of /metrics, which is on the API's listener unless it has a port of its own."""
    api = build_api(parts)
    add_pages(api)
    server, telemetry = config.server, config.telemetry
    if telemetry.port is None:
        add_metrics_route(api, parts)
        urls = await listeners.open(api, host=server.host, port=server.port, section="server")
        return urls, urls
    urls = await listeners.open(api, host=server.host, port=server.port, section="server")
    metrics = build_metrics_application(parts)
    return urls, await listeners.open(metrics, host=telemetry.host, port=telemetry.port, section="telemetry")
