"""Ties the engine process to its agent: it dies with it, or before it, and leaves Ctrl-C and SIGTERM to it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from pathlib import Path

PR_SET_PDEATHSIG = 1  # prctl(2)
# 500: as if it held half of the machine's memory more.
OOM_SCORE_ADJ = 500


def tie_to_parent() -> None:
    """Have the kernel kill this process when the agent ends, however it ends."""
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        raise SystemExit("the agent ended before the engine had started")


def be_killed_first() -> None:
    """When memory ends, the kernel is to take the engine: the agent restarts it, and is there to tell.

    Raising one's own score needs no privilege (proc(5)). Without it the engine, the largest process, is still the
    likely choice, unless the unit protects agent and engine alike.
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE_ADJ), encoding="ascii")


def ignore_terminal_signals() -> None:
    """Ctrl-C and systemd signal the whole group; the agent drains the engine and then stops it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
