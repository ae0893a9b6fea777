"""Asks a process of its own how fast this machine reads memory: the agent's loads no numpy. Blocks its caller."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from edge_agent.benchmark.speeds import MeasurementError

COMMAND = (sys.executable, "-m", "edge_agent.engine.memory_bandwidth")
READ_SECONDS = 1.0
# 60 s: numpy comes off an SD card first, and the buffer has to be filled.
TIMEOUT_SECONDS = 60.0


class Bandwidth(msgspec.Struct, frozen=True):
    """What the process says."""

    # Ten times what the fastest memory of any such machine reads.
    bytes_per_second: Annotated[float, msgspec.Meta(gt=0, le=1e13)]


def measure_bandwidth(
    *, num_threads: int, environ: Mapping[str, str], command: Sequence[str] = COMMAND, timeout: float = TIMEOUT_SECONDS
) -> float:
    """Bytes a second, read by so many threads. Raises MeasurementError."""
    arguments = ("--threads", str(num_threads), "--seconds", str(READ_SECONDS))
    try:
        # S603: the command is the agent's own.
        done = subprocess.run(  # noqa: S603
            (*command, *arguments), env=dict(environ), capture_output=True, check=True, timeout=timeout
        )
        return msgspec.json.decode(done.stdout, type=Bandwidth).bytes_per_second
    except (OSError, subprocess.SubprocessError, msgspec.DecodeError) as error:
        raise MeasurementError(f"the memory's bandwidth could not be measured: {error}") from error
