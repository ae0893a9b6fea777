"""What the ledger decides and the step loop carries out in llama.cpp, in order, before the next step."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trim:
    """Drop a sequence's cells from position `num_kept` on."""

    seq_id: int
    num_kept: int


@dataclass(frozen=True, slots=True)
class Copy:
    """An empty sequence shares the first `num_cells` cells of another; no data moves."""

    source_id: int
    seq_id: int
    num_cells: int


@dataclass(frozen=True, slots=True)
class Save:
    """Copy a sequence's cells of positions start..end-1 out, to be found under `key`."""

    seq_id: int
    start: int
    end: int
    key: int


@dataclass(frozen=True, slots=True)
class Load:
    """Add the cells saved under `key` to a sequence; they stay saved."""

    key: int
    seq_id: int


@dataclass(frozen=True, slots=True)
class Forget:
    """Drop what was saved under `key`."""

    key: int


Operation = Trim | Copy | Save | Load | Forget
