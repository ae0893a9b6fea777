"""Estimates when a refused client may come again. Pure; what is not known is guessed on the patient side."""

from __future__ import annotations

import math

# A small model comes off an SD card in about this time, when nothing better is known.
UNKNOWN_LOAD_SECONDS = 10.0
# A client that waits longer may as well ask again: the estimate is no promise.
LONGEST_SECONDS = 60
# A place in the queue frees with every finished answer, typically within this time.
QUEUE_FULL_SECONDS = 5
# Nothing changes until an operator acts.
LOAD_FAILED_SECONDS = 60
STOPPED_SECONDS = 10


def retry_after_load(*, until_spawn: float, elapsed: float, progress: float, last_load: float | None) -> int:
    """Whole seconds until the model is probably loaded.

    `until_spawn` is the rest of a back-off, `elapsed` the time since the spawn, `progress` 0 to 1, `last_load` how long
    the last load took (None: none yet).
    """
    if last_load is not None:
        remaining = last_load - elapsed
    elif progress > 0:
        remaining = elapsed / progress - elapsed
    else:
        remaining = UNKNOWN_LOAD_SECONDS
    return max(1, min(LONGEST_SECONDS, math.ceil(until_spawn + max(remaining, 0.0))))
