"""Ties the engine process to its agent: it dies with it, and leaves Ctrl-C and SIGTERM to it."""

from __future__ import annotations

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1  # prctl(2)


def tie_to_parent() -> None:
    """Have the kernel kill this process when the agent ends, however it ends."""
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        raise SystemExit("the agent ended before the engine had started")


def ignore_terminal_signals() -> None:
    """Ctrl-C and systemd signal the whole group; the agent drains the engine and then stops it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
