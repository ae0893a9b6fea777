"""The agent process as a whole: runs the service until a signal.

SIGTERM or SIGINT lets running answers finish for `server.drain_seconds` while new requests get 503; a second signal
ends them at once. What the parts do, they know themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from edge_agent import __version__
from edge_agent.config import Config
from edge_agent.models.catalog import shipped_catalog
from edge_agent.models.store import ModelFile, ModelStore
from edge_agent.service import ENGINE_COMMAND, Service, service_running
from edge_agent.service_notifier import ServiceNotifier, notifying

_SMALL_MODEL = "smollm2-135m-instruct"
_REAL_MODEL = "qwen3-4b-instruct-2507"

logger = logging.getLogger(__name__)


def run(config: Config, *, environ: Mapping[str, str], state_dir: Path) -> int:
    """Serve until a signal; the answer is the exit code. Raises ConfigError or ModelError before anything runs."""
    folder = state_dir / "models" if config.models.dir is None else Path(config.models.dir).expanduser()
    store = ModelStore(folder=folder, catalog=shipped_catalog())
    model_file = store.resolve(name=config.model.name, path=config.model.path)
    _log_start(config, model_file)
    return asyncio.run(serve(config, model_file=model_file, environ=environ, state_dir=state_dir))


async def serve(
    config: Config,
    *,
    model_file: ModelFile,
    environ: Mapping[str, str],
    state_dir: Path,
    engine_command: Sequence[str] = ENGINE_COMMAND,
) -> int:
    """Run the service on this event loop, whose process's SIGTERM and SIGINT it takes, until one of these comes."""
    with _signals() as signals:
        async with (
            service_running(
                config, model_file=model_file, environ=environ, state_dir=state_dir, engine_command=engine_command
            ) as service,
            notifying(_notifier(service, model_file=model_file, environ=environ)) as notifier,
        ):
            await signals.first.wait()
            notifier.stopping(drain_seconds=config.server.drain_seconds)
            await drain(service, drain_seconds=config.server.drain_seconds, at_once=signals.second)
    logger.info("stopped")
    return os.EX_OK


def _notifier(service: Service, *, model_file: ModelFile, environ: Mapping[str, str]) -> ServiceNotifier:
    return ServiceNotifier(
        environ,
        engine=service.engine,
        model_alias=model_file.alias,
        num_ends=lambda: service.telemetry.engine.num_restarts,
        clock=time.monotonic,
    )


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
