"""How fast this machine reads memory: `python -m edge_agent.engine.memory_bandwidth --threads N --seconds S`.

A process of its own, which the agent runs when it wants to know; it loads no model. Every thread reads its share of a
buffer that no cache holds, again and again; the fastest round counts, as in STREAM. It prints one line of JSON.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from edge_agent.engine.lifeline import tie_to_parent
from edge_agent.engine.priority import give_way

# 256 MiB: several times the last-level cache of the machines that this runs on, and little beside any model.
BUFFER_BYTES = 256 * 1024 * 1024
# Five rounds even on a machine that reads slowly: one alone may fall into another program's work.
MIN_ROUNDS = 5

Share = npt.NDArray[np.float32]


def main() -> int:
    """Measure and print; returns the exit status."""
    parser = argparse.ArgumentParser(prog="edge_agent.engine.memory_bandwidth", description=__doc__)
    parser.add_argument("--threads", type=int, required=True, help="threads that read at once")
    parser.add_argument("--seconds", type=float, required=True, help="how long to read")
    arguments = parser.parse_args()
    tie_to_parent()
    give_way()
    bytes_per_second = measure_bandwidth(
        num_threads=arguments.threads,
        seconds=arguments.seconds,
        buffer_bytes=BUFFER_BYTES,
        clock=time.monotonic,
    )
    sys.stdout.write(json.dumps({"bytes_per_second": bytes_per_second}) + "\n")
    return 0


def measure_bandwidth(*, num_threads: int, seconds: float, buffer_bytes: int, clock: Callable[[], float]) -> float:
    """Bytes a second of the fastest round."""
    # Ones: pages that were never written would all be the same page of zeros.
    shares = np.array_split(np.ones(buffer_bytes // 4, dtype=np.float32), num_threads)
    num_bytes = sum(share.nbytes for share in shares)
    with concurrent.futures.ThreadPoolExecutor(num_threads) as threads:
        return num_bytes / _fastest_round(threads, shares, seconds=seconds, clock=clock)


def _fastest_round(
    threads: concurrent.futures.Executor, shares: Sequence[Share], *, seconds: float, clock: Callable[[], float]
) -> float:
    deadline = clock() + seconds
    rounds: list[float] = []
    while len(rounds) < MIN_ROUNDS or clock() < deadline:
        started = clock()
        # The largest element: numpy finds it with the widest registers there are, and lets other threads run meanwhile.
        concurrent.futures.wait([threads.submit(np.max, share) for share in shares])
        rounds.append(clock() - started)
    return min(rounds)


if __name__ == "__main__":
    sys.exit(main())
