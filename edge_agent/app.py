"""The agent process as a whole: puts the parts together, runs them until a signal, and takes them apart again.

SIGTERM or SIGINT lets running answers finish for `server.drain_seconds` while new requests get 503; a second signal
ends them at once. What the parts do, they know themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from edge_agent import __version__
from edge_agent.api.accounting import Accounting
from edge_agent.api.drain import Drain
from edge_agent.api.generation_endpoint import GenerationContext
from edge_agent.api.listeners import Listeners
from edge_agent.api.routes import ApiParts, add_metrics_route, build_api, build_metrics_application
from edge_agent.config import Config
from edge_agent.engine_client.client import EngineClient
from edge_agent.models.catalog import shipped_catalog
from edge_agent.models.gguf_header import read_header
from edge_agent.models.store import ModelFile, ModelStore
from edge_agent.protocol import EngineSettings
from edge_agent.telemetry.event_loop_lag import measure_event_loop_lag
from edge_agent.telemetry.telemetry import Telemetry, build_telemetry

ENGINE_COMMAND = (sys.executable, "-m", "edge_agent.engine")
CPU_FOLDER = Path("/sys/devices/system/cpu")

_SMALL_MODEL = "smollm2-135m-instruct"
_REAL_MODEL = "qwen3-4b-instruct-2507"

logger = logging.getLogger(__name__)


def run(config: Config, *, environ: Mapping[str, str], state_dir: Path) -> int:
    """Serve until a signal; the answer is the exit code. Raises ConfigError or ModelError before anything runs."""
    folder = state_dir / "models" if config.models.dir is None else Path(config.models.dir).expanduser()
    store = ModelStore(folder=folder, catalog=shipped_catalog())
    model_file = store.resolve(name=config.model.name, path=config.model.path)
    _log_start(config, model_file)
    return asyncio.run(serve(config, model_file=model_file, environ=environ))


async def serve(
    config: Config,
    *,
    model_file: ModelFile,
    environ: Mapping[str, str],
    engine_command: Sequence[str] = ENGINE_COMMAND,
) -> int:
    """Run the service on this event loop, whose process's SIGTERM and SIGINT it takes, until one of these comes."""
    with _signals() as signals:
        async with service_running(
            config, model_file=model_file, environ=environ, engine_command=engine_command
        ) as service:
            await signals.first.wait()
            await drain(service, drain_seconds=config.server.drain_seconds, at_once=signals.second)
    logger.info("stopped")
    return os.EX_OK


# --- composition -------------------------------------------------------------------------------------------------


class Service(NamedTuple):
    """The parts of a running service."""

    engine: EngineClient
    telemetry: Telemetry
    drain: Drain
    urls: list[str]
    metrics_urls: list[str]


@contextlib.asynccontextmanager
async def service_running(
    config: Config,
    *,
    model_file: ModelFile,
    environ: Mapping[str, str],
    engine_command: Sequence[str] = ENGINE_COMMAND,
) -> AsyncIterator[Service]:
    """The service for the length of the block: listening at once, while the model is still loaded.

    Raises ConfigError when an address cannot be listened on; then no engine has been started.
    """
    telemetry = build_telemetry(
        model_alias=model_file.alias, version=__version__, file_sha256=(model_file.sha256 or "")[:12]
    )
    engine = EngineClient(
        engine_settings(config, model_file),
        listener=telemetry.engine,
        queue_size=config.scheduler.queue_size,
        check_file=lambda: _check_file(model_file.path),
        command=engine_command,
        environ=environ,
    )
    service_drain = Drain()
    parts = _api_parts(config, model_file=model_file, engine=engine, telemetry=telemetry, drain=service_drain)
    listeners = Listeners()
    lag = asyncio.create_task(measure_event_loop_lag(telemetry.service.event_loop_lag))
    try:
        urls, metrics_urls = await _open_listeners(listeners, config, parts)
        await engine.start()
        yield Service(engine, telemetry, service_drain, urls, metrics_urls)
    finally:
        service_drain.start()
        # The engine first: requests that are still open learn from it that they are lost, while they can be told.
        await engine.stop()
        await listeners.close()
        lag.cancel()


async def drain(service: Service, *, drain_seconds: float, at_once: asyncio.Event) -> None:
    """Take no more requests and wait for the open ones: until they are over, the time is, or `at_once` is set."""
    service.drain.start()
    logger.info("draining num_running=%d limit_seconds=%.0f", service.engine.num_running, drain_seconds)
    waits = [asyncio.create_task(service.drain.wait_empty()), asyncio.create_task(at_once.wait())]
    done, pending = await asyncio.wait(waits, timeout=drain_seconds, return_when=asyncio.FIRST_COMPLETED)
    for wait in pending:
        wait.cancel()
    if waits[0] not in done:
        logger.warning("ending answers that are not complete num_running=%d", service.engine.num_running)


def _api_parts(
    config: Config, *, model_file: ModelFile, engine: EngineClient, telemetry: Telemetry, drain: Drain
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
    return ApiParts(generation, telemetry.service, telemetry.exposition)


async def _open_listeners(listeners: Listeners, config: Config, parts: ApiParts) -> tuple[list[str], list[str]]:
    """The URLs of the API and of /metrics, which is on the API's listener unless it has a port of its own."""
    api = build_api(parts)
    server, telemetry = config.server, config.telemetry
    if telemetry.port is None:
        add_metrics_route(api, parts)
        urls = await listeners.open(api, host=server.host, port=server.port, section="server")
        return urls, urls
    urls = await listeners.open(api, host=server.host, port=server.port, section="server")
    metrics = build_metrics_application(parts)
    return urls, await listeners.open(metrics, host=telemetry.host, port=telemetry.port, section="telemetry")


def _check_file(path: Path) -> None:
    read_header(path)


# --- what the engine is told -------------------------------------------------------------------------------------


def engine_settings(config: Config, model_file: ModelFile) -> EngineSettings:
    """The configuration in the engine's terms, with its zeros resolved."""
    model, scheduler = config.model, config.scheduler
    num_threads = model.threads or num_physical_cores(CPU_FOLDER, usable=os.sched_getaffinity(0))
    return EngineSettings(
        model_path=str(model_file.path),
        context_length=model.context_length,
        max_sequences=scheduler.max_sequences,
        max_batch_tokens=scheduler.max_batch_tokens,
        max_step_seconds=scheduler.max_step_seconds,
        target_inter_token_seconds=scheduler.target_inter_token_ms / 1000,
        max_saved_prefix_bytes=scheduler.max_saved_prefix_bytes,
        kv_cache_type=model.kv_cache_type,
        num_threads=num_threads,
        num_threads_batch=model.threads_batch or num_threads,
        num_gpu_layers=model.gpu_layers,
        mmap=model.mmap,
        mlock=model.mlock,
    )


def num_physical_cores(cpu_folder: Path, *, usable: set[int]) -> int:
    """Cores among the usable CPUs; siblings of a core count once, since decoding is bound by what they share.

    `cpu_folder` is /sys/devices/system/cpu; a CPU whose topology cannot be read counts as a core of its own.
    """
    return max(1, len({_core(cpu_folder, cpu) for cpu in usable}))


def _core(cpu_folder: Path, cpu: int) -> str:
    try:
        return (cpu_folder / f"cpu{cpu}" / "topology" / "thread_siblings_list").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return str(cpu)


# --- signals and the first lines of the log ----------------------------------------------------------------------


class _Signals:
    """The first and the second request to end."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()

    def came(self) -> None:
        if self.first.is_set():
            self.second.set()
        self.first.set()


@contextlib.contextmanager
def _signals() -> Iterator[_Signals]:
    loop = asyncio.get_running_loop()
    signals = _Signals()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signals.came)
    try:
        yield signals
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _log_start(config: Config, model_file: ModelFile) -> None:
    logger.info(
        "starting version=%s model=%s file=%s context_length=%d max_sequences=%d",
        __version__,
        model_file.alias,
        model_file.path,
        config.model.context_length,
        config.scheduler.max_sequences,
    )
    if config.model.path is None and model_file.alias == _SMALL_MODEL:
        logger.info(
            "this is the small model for a first try; the real one is %s (make serve MODEL=%s)",
            _REAL_MODEL,
            _REAL_MODEL,
        )
