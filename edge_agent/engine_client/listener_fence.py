"""Stands between the engine client and its listener: a fault of whoever counts costs a count, never an answer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import ParamSpec

from edge_agent.engine_client.listener import EndCause, EngineListener
from edge_agent.protocol import Finished, Idle, ModelFacts, Report

logger = logging.getLogger(__name__)

P = ParamSpec("P")


class ListenerFence:
    """An EngineListener that passes everything on; what the other raises is logged."""

    def __init__(self, listener: EngineListener) -> None:
        self._listener = listener

    def engine_ready(self, model: ModelFacts) -> None:
        _tell(self._listener.engine_ready, model)

    def engine_ended(self, cause: EndCause) -> None:
        _tell(self._listener.engine_ended, cause)

    def report(self, report: Report) -> None:
        _tell(self._listener.report, report)

    def finished(self, finished: Finished) -> None:
        _tell(self._listener.finished, finished)

    def idle(self, idle: Idle) -> None:
        _tell(self._listener.idle, idle)

    def queue_changed(self, *, num_running: int, num_waiting: int) -> None:
        _tell(self._listener.queue_changed, num_running=num_running, num_waiting=num_waiting)


def _tell(tell: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
    try:
        tell(*args, **kwargs)
    except Exception:
        logger.exception("a listener of the engine failed")
