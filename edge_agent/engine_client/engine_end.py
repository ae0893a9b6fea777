"""The end of one engine process, as facts; why it ended and in which words, derived from them. Pure."""

from __future__ import annotations

import signal

import msgspec

from edge_agent.engine_client.listener import EndCause

# What of stderr goes into an error message; the log gets all that was kept.
NUM_QUOTED_LINES = 5
MAX_QUOTED_CHARACTERS = 200


class EngineEnd(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of an engine process that ended unasked, or could not be spawned."""

    # As Popen gives it: negative for a signal. None: never spawned, or SIGKILL has no effect yet.
    returncode: int | None = None
    # Why it could not be spawned; what it said in LoadFailed; what hung; what it sent that was no message.
    spawn_error: str | None = None
    load_error: str | None = None
    stall: str | None = None
    fault: str | None = None
    has_oom_risen: bool = False
    # Seconds from Ready to the end; None: the model was never loaded.
    ready_seconds: float | None = None
    stderr: tuple[str, ...] = ()

    @property
    def cause(self) -> EndCause:
        if self.stall is not None:
            return EndCause.STALL
        if self.was_killed_from_outside and self.has_oom_risen:
            return EndCause.OOM
        if self.is_load_failure:
            return EndCause.LOAD_FAILED
        return EndCause.CRASH

    @property
    def was_killed_from_outside(self) -> bool:
        """By a SIGKILL that the agent did not send."""
        reasons_of_ours = (self.stall, self.fault, self.load_error)
        return self.returncode == -signal.SIGKILL and all(reason is None for reason in reasons_of_ours)

    @property
    def may_pass(self) -> bool:
        """Whether the machine's state may explain the end better than the model file does."""
        return self.stall is not None or self.spawn_error is not None or self.was_killed_from_outside

    @property
    def detail(self) -> str:
        """The end in words."""
        reason = self.spawn_error or self.load_error or self.stall or self.fault
        return reason or _describe_returncode(self.returncode)

    @property
    def is_load_failure(self) -> bool:
        return self.load_error is not None or self.ready_seconds is None

    @property
    def load_failure(self) -> str:
        """Why the model could not be loaded, for the operator: the end in words and what the engine wrote last."""
        if self.load_error is not None:
            return self.load_error
        quoted = [line[:MAX_QUOTED_CHARACTERS] for line in self.stderr[-NUM_QUOTED_LINES:]]
        return "; ".join([f"the engine ended while it loaded the model ({self.cause.value}: {self.detail})", *quoted])


def _describe_returncode(returncode: int | None) -> str:
    if returncode is None:
        return "it does not end"
    if returncode >= 0:
        return f"exit status {returncode}"
    try:
        return f"killed by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"killed by signal {-returncode}"
