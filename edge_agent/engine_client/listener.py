"""What the engine client tells whoever watches the engine: plain calls on the event loop, none of which may block."""

from __future__ import annotations

import enum
from typing import Protocol

from edge_agent.protocol import Finished, Idle, ModelFacts, Report


class EngineState(enum.Enum):
    """LOADING until the first Ready; RESTARTING from an unasked end to the next Ready; LOAD_FAILED is final."""

    LOADING = "loading"
    READY = "ready"
    RESTARTING = "restarting"
    LOAD_FAILED = "load_failed"
    STOPPED = "stopped"


class EndCause(enum.Enum):
    """Why an engine process ended unasked."""

    CRASH = "crash"
    OOM = "oom"
    STALL = "stall"
    LOAD_FAILED = "load_failed"


class EngineListener(Protocol):
    """Told everything that the engine reports, in the order it was reported."""

    def engine_ready(self, model: ModelFacts) -> None:
        """The model is loaded."""

    def engine_ended(self, cause: EndCause) -> None:
        """The engine process ended unasked, or refused to load; called once for each."""

    def report(self, report: Report) -> None:
        """A step was done."""

    def finished(self, finished: Finished) -> None:
        """A sequence is over."""

    def idle(self, idle: Idle) -> None:
        """The engine lives and has nothing to do."""

    def queue_changed(self, *, num_running: int, num_waiting: int) -> None:
        """Requests being answered and requests waiting, as the agent counts them."""
