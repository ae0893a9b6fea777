"""The first steps of a loaded model, done before anyone waits: they read the weights in and say what steps cost here.

Runs once, on the engine's main thread, before the step loop.
"""

from __future__ import annotations

import time

from edge_agent.engine.llama_context import LlamaContext
from edge_agent.engine.step_costs import StepCosts

# What answers and their drafts take; larger steps are learned from the first prompts.
WARM_UP_ROWS = (1, 2, 4, 8, 16, 32)
# A board that needs longer for a step learns the larger ones at work.
MAX_STEP_SECONDS = 1.0


def warm_up(context: LlamaContext, costs: StepCosts) -> None:
    """Decode steps of growing size in an empty cache, and leave it empty."""
    _step(context, 1)
    for num_rows in WARM_UP_ROWS:
        if num_rows > min(context.max_batch_tokens, context.num_cells):
            return
        seconds = _step(context, num_rows)
        costs.observe(num_rows, seconds)
        if seconds > MAX_STEP_SECONDS:
            return


def _step(context: LlamaContext, num_rows: int) -> float:
    """Seconds of a step of so many rows, each with logits as far as they are kept."""
    started = time.monotonic()
    context.clear_rows()
    context.add_rows(0, 0, range(num_rows), num_outputs=min(num_rows, context.max_outputs))
    context.decode()
    context.trim(0, 0)
    return time.monotonic() - started
