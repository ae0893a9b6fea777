"""How a process that only measures stands behind all others of the machine: for processor time and for memory."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

# 10: a tenth of the share of an ordinary process, all of an idle machine.
NICENESS = 10
# 1000: the kernel's highest. The engine that serves, with 500, outlives whoever has this.
OOM_SCORE_ADJ = 1000


def give_way() -> None:
    """Compute when nobody else wants to, and go first when memory ends. Neither needs a privilege."""
    os.nice(NICENESS)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE_ADJ), encoding="ascii")
