"""Reports of steps, as an engine would send them."""

from __future__ import annotations

from edge_agent.protocol import KvCells, Report


def step(started: float, ended: float, *, prefill: int = 0, decode: int = 0) -> Report:
    """A step of so many rows of each kind."""
    return Report(
        started=started,
        ended=ended,
        num_prefill_rows=prefill,
        num_decode_rows=decode,
        kv=KvCells(used=0, cached=0, capacity=256),
        num_running=max(1, decode),
        num_waiting=0,
        sequences=[],
    )
