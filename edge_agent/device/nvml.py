"""NVIDIA's management library, reached through the optional module pynvml: opened, asked, opened anew when it was lost.

Knows which of its errors mean that something is not there, is broken, or that a GPU or the driver is gone; what is
asked, the collector knows. Sampler's thread. Source: NVML API reference, return codes.
"""

from __future__ import annotations

import enum
import importlib
import math
import time
from collections.abc import Callable
from typing import Any

from edge_agent.device.label_text import shown
from edge_agent.device.sensor_files import SensorAbsentError, SensorError, SensorFiles
from edge_agent.errors import EdgeAgentError

NAME = "nvml"
# 16: the most GPUs that one machine holds.
MAX_GPUS = 16
# 8: more than are given up before the driver answers.
MAX_OPENINGS = 8
FIRST_PAUSE_SECONDS = 1.0
# 5 min: opening anew may power up an idle GPU, which takes seconds and disturbs others.
LONGEST_PAUSE_SECONDS = 300.0


class NvmlCode(enum.IntEnum):
    """The return codes that are told apart."""

    UNINITIALIZED = 1
    NOT_SUPPORTED = 3
    NO_PERMISSION = 4
    DRIVER_NOT_LOADED = 9
    LIBRARY_NOT_FOUND = 12
    FUNCTION_NOT_FOUND = 13
    GPU_IS_LOST = 15
    RESET_REQUIRED = 16
    LIB_RM_VERSION_MISMATCH = 18


NOT_THERE = frozenset({NvmlCode.NOT_SUPPORTED, NvmlCode.NO_PERMISSION, NvmlCode.FUNCTION_NOT_FOUND})
GPU_GONE = frozenset({NvmlCode.GPU_IS_LOST, NvmlCode.RESET_REQUIRED})
DRIVER_GONE = frozenset({NvmlCode.UNINITIALIZED, NvmlCode.DRIVER_NOT_LOADED, NvmlCode.LIB_RM_VERSION_MISMATCH})
REMEDIES: dict[int, str] = {
    NvmlCode.LIBRARY_NOT_FOUND: "there is no libnvidia-ml.so.1; install NVIDIA's driver",
    NvmlCode.DRIVER_NOT_LOADED: "NVIDIA's driver is not loaded; see whether nvidia-smi works",
    NvmlCode.LIB_RM_VERSION_MISMATCH: "library and driver are of different versions; reboot after the update",
}


class GoneError(EdgeAgentError):
    """A GPU, or the driver with all of them, does not answer any more."""


class NvmlSession:
    """The opened library. Every call may hang with the driver: make them inside `SensorFiles.call` only."""

    def __init__(self, pynvml: Any) -> None:
        self._pynvml = pynvml
        self.driver_version = shown(self.ask("driver", "nvmlSystemGetDriverVersion"))
        self.num_gpus = min(int(self.ask("count", "nvmlDeviceGetCount")), MAX_GPUS)

    def ask(self, what: str, function: str, *arguments: Any, or_else: str | None = None) -> Any:
        """What a function of pynvml answers; `or_else` is its name in older drivers.

        Raises SensorError, SensorAbsentError for what this GPU or driver does not tell, GoneError.
        """
        names = [function] if or_else is None else [function, or_else]
        # A pynvml older than a function does not have it; one older than all of them is told like an old driver.
        names = [name for name in names if hasattr(self._pynvml, name)]
        for name in names:
            try:
                return getattr(self._pynvml, name)(*arguments)
            except self._pynvml.NVMLError as error:
                if error.value != NvmlCode.FUNCTION_NOT_FOUND or name == names[-1]:
                    raise _translated(f"{NAME}/{what}", error.value, str(error)) from error
            except UnicodeDecodeError as error:
                raise SensorError(f"{NAME}/{what}", "not text") from error
        raise SensorAbsentError(f"{NAME}/{what}", f"pynvml has no {function}; install a newer nvidia-ml-py")

    def constant(self, name: str) -> Any:
        return getattr(self._pynvml, name)


class NvidiaDriver:
    """Holds the session, and after trouble makes a new one: after a second, then after pauses twice as long each."""

    def __init__(self, files: SensorFiles, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._files = files
        self._clock = clock
        self._session: NvmlSession | None = None
        self._open_at = -math.inf
        self._pause_seconds = FIRST_PAUSE_SECONDS
        self._was_there = False
        self._closed_kind: type[SensorError] = SensorAbsentError
        self._closed_problem = "not opened yet"

    def session(self) -> NvmlSession:
        """Raises SensorError, SensorAbsentError on a machine that never had a working driver."""
        if self._clock() >= self._open_at:
            self._open()
        if self._session is None:
            raise self._closed_kind(NAME, self._closed_problem)
        return self._session

    def went_well(self) -> None:
        """Nothing was gone this round."""
        self._open_at = math.inf
        self._pause_seconds = FIRST_PAUSE_SECONDS

    def had_trouble(self) -> None:
        """Something was gone; until the pause is over the session is used as it is."""
        if self._open_at == math.inf:
            self._open_after_pause()

    def _open_after_pause(self) -> None:
        self._open_at = self._clock() + self._pause_seconds
        self._pause_seconds = min(2 * self._pause_seconds, LONGEST_PAUSE_SECONDS)

    def _open(self) -> None:
        is_open, self._session = self._session is not None, None
        self._open_after_pause()
        # What is said of it while the driver keeps the opening waiting for so long that it is given up.
        self._closed_with(SensorError, "the driver has not answered in time; it may still be starting the GPUs")
        try:
            self._session = self._files.call(NAME, lambda: _opened(is_open_before=is_open))
        except ImportError:
            self._open_at = math.inf
            self._closed_with(SensorAbsentError, "pynvml cannot be imported; pip install 'edge-agent[nvidia]'")
        except SensorAbsentError as error:
            # Absent is what was never there; what was there before is missed.
            self._closed_with(SensorError if self._was_there else SensorAbsentError, _problem_of(error))
        except (SensorError, GoneError) as error:
            self._closed_with(SensorError, _problem_of(error))
        else:
            self._was_there = True
            self._open_at = math.inf

    def _closed_with(self, kind: type[SensorError], problem: str) -> None:
        self._closed_kind, self._closed_problem = kind, problem


def _problem_of(error: EdgeAgentError) -> str:
    return str(error).removeprefix(f"{NAME}: ")


def _opened(*, is_open_before: bool) -> NvmlSession:
    pynvml = importlib.import_module("pynvml")
    if is_open_before:
        _close(pynvml)
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        problem = REMEDIES.get(error.value, str(error))
        is_absent = error.value in {NvmlCode.LIBRARY_NOT_FOUND, NvmlCode.DRIVER_NOT_LOADED}
        raise (SensorAbsentError if is_absent else SensorError)(NAME, problem) from error
    try:
        return NvmlSession(pynvml)
    except EdgeAgentError:
        _close(pynvml)
        raise


def _close(pynvml: Any) -> None:
    """Wholly: the library counts its openings, also one that came back after it was given up."""
    for _ in range(MAX_OPENINGS):
        try:
            pynvml.nvmlShutdown()
        except pynvml.NVMLError:
            return


def _translated(path: str, code: int, message: str) -> EdgeAgentError:
    if code in NOT_THERE:
        return SensorAbsentError(path, message)
    if code in GPU_GONE | DRIVER_GONE:
        return GoneError(REMEDIES.get(code, message))
    return SensorError(path, message)
