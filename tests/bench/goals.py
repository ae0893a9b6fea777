"""What edge-agent is to reach: for a suite's workload and figure the bound of ours by theirs. Pure.

More is better for tokens/s, less for all else, so a bound is the least or the most that the ratio may be.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from .comparison import Figure, Row

LLAMA_SERVER = "llama-server"
NGRAM = "llama-server, ngram-simple"
BETTER = "llama-server, the better of its two"
PYTHON_SERVER = "llama-cpp-python's server"
COLD = "edge-agent, cold"
STEP = "a 4B step"
LIMIT = "the limit"
FOR_PREFILL = "distinct1, tuned for prefill"
FOR_DECODE = "distinct1, tuned for decode"

Key = tuple[str, str, Figure, str]

GOALS: Mapping[Key, float] = {
    ("small", "distinct1", Figure.TOKENS_PER_SECOND, LLAMA_SERVER): 1.0,
    ("small", "distinct8", Figure.TOKENS_PER_SECOND, LLAMA_SERVER): 1.0,
    ("small", "distinct8", Figure.FIRST_TOKEN, LLAMA_SERVER): 0.65,
    ("small", "shared8", Figure.WALL, LLAMA_SERVER): 0.22,
    ("small", "turns", Figure.TOKENS_PER_SECOND, LLAMA_SERVER): 1.0,
    ("small", "turns-warm", Figure.TOKENS_PER_SECOND, LLAMA_SERVER): 1.0,
    ("small", "intrude", Figure.LONGEST_GAP, LLAMA_SERVER): 0.15,
    # The short gap is not to be bought with throughput.
    ("small", "intrude", Figure.TOKENS_PER_SECOND, LLAMA_SERVER): 0.97,
    ("small", "copy", Figure.TOKENS_PER_SECOND, BETTER): 1.1,
    ("small", "loop", Figure.TOKENS_PER_SECOND, BETTER): 1.1,
    ("gemma", "distinct4", Figure.TOKENS_PER_SECOND, LLAMA_SERVER): 1.0,
    ("gemma", "turns", Figure.TOKENS_PER_SECOND, LLAMA_SERVER): 1.0,
    ("gemma", "shared4", Figure.TOKENS_PER_SECOND, LLAMA_SERVER): 1.5,
    ("4b", "intrude", Figure.LONGEST_GAP, LLAMA_SERVER): 0.08,
    ("4b", "shared4", Figure.WALL, LLAMA_SERVER): 0.25,
    ("4b", FOR_PREFILL, Figure.FIRST_TOKEN, LLAMA_SERVER): 0.65,
    ("4b", FOR_DECODE, Figure.TOKENS_PER_SECOND, LLAMA_SERVER): 1.0,
    ("restart", "pinned prefix", Figure.FIRST_TOKEN, COLD): 0.25,
    ("cost", "serving and telemetry", Figure.COST, STEP): 0.02,
    ("memory", "2,000-token prompt", Figure.MEMORY, LIMIT): 1.0,
}


def with_goals(suite: str, rows: list[Row]) -> list[Row]:
    """The rows, each with its goal if it has one."""
    return [msgspec.structs.replace(row, goal=GOALS.get((suite, row.work, row.figure, row.against))) for row in rows]
