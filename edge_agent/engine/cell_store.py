"""Cells outside the KV cache: copies in memory by the ledger's keys, and long prefixes on disk.

Owned by the step loop. It carries out what the ledger decides, fetches from disk what a new prompt begins with, and has
written what several conversations begin with.
"""

from __future__ import annotations

from typing import assert_never

from edge_agent.engine.disk_prefixes import DiskMatch, DiskPrefixes
from edge_agent.engine.kv_ledger import KvLedger
from edge_agent.engine.kv_operations import Copy, Forget, Load, Operation, Save, Trim
from edge_agent.engine.llama import LlamaError
from edge_agent.engine.llama_context import LlamaContext
from edge_agent.engine.returning_prefixes import ReturningPrefixes
from edge_agent.engine.sequence import Sequence

# Reading is worth it if it spares at least so many rows.
MIN_READ_TOKENS = 32


class CellStore:
    """Between the ledger, which decides, and the context, which has the cells."""

    def __init__(self, context: LlamaContext, ledger: KvLedger, disk: DiskPrefixes) -> None:
        self._context = context
        self._ledger = ledger
        self._disk = disk
        self._returning = ReturningPrefixes(has=disk.has)
        self._saved: dict[int, bytes] = {}
        self._from_disk: dict[int, DiskMatch] = {}

    def carry_out(self, operations: list[Operation]) -> None:
        """Do in llama.cpp what the ledger decided."""
        for operation in operations:
            match operation:
                case Trim(seq_id, num_kept):
                    self._context.trim(seq_id, num_kept)
                case Copy(source_id, seq_id, num_cells):
                    self._context.copy(source_id, seq_id, num_cells)
                case Save(seq_id, start, end, key):
                    self._saved[key] = self._context.save(seq_id, start, end)
                case Load(key, seq_id):
                    self._load(key, seq_id)
                case Forget(key):
                    del self._saved[key]
                    self._from_disk.pop(key, None)
                case _:
                    assert_never(operation)

    def read_ahead(self, tokens: list[int]) -> None:
        """Read from disk what a new prompt begins with, where that is more than is held anyway."""
        if not self._context.is_trimmable:
            return
        found = self._disk.match(tokens[:-1])
        if found is None or found.num_common - self._ledger.num_held(tokens) < MIN_READ_TOKENS:
            return
        state = self._disk.read(found)
        if state is not None:
            key = self._ledger.restore(self._disk.tokens_of(found))
            self._saved[key] = state
            self._from_disk[key] = found

    def write_returning(self, admitted: list[Sequence]) -> None:
        """Have written what these prompts have in common with others, if it keeps coming back.

        What the ledger decided at their admission must be carried out.
        """
        for sequence in admitted:
            num_tokens = self._returning.note(sequence.tokens, sequence.num_shared)
            if num_tokens is not None:
                tokens = sequence.tokens[:num_tokens]
                self._disk.store(tokens, self._context.save(sequence.running_id, 0, num_tokens))

    def _load(self, key: int, seq_id: int) -> None:
        if self._context.load(seq_id, self._saved[key]):
            return
        if key in self._from_disk:
            # It would end the engine again after every restart.
            self._disk.discard(self._from_disk[key])
        raise LlamaError(f"{len(self._saved[key])} saved bytes could not be loaded into sequence {seq_id}")
