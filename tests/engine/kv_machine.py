"""llama.cpp's unified KV cache in plain objects: carries the ledger's operations out and can be looked into."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_agent.engine.kv_ledger import KvLedger
from edge_agent.engine.kv_operations import Copy, Forget, Load, Operation, Save, Trim
from edge_agent.engine.prefix_tree import Holder


@dataclass(eq=False)
class Cell:
    """One position's token, and the sequences that have it."""

    position: int
    token: int
    seq_ids: set[int]


@dataclass
class KvMachine:
    """Cells in use, and what is saved outside by key."""

    cells: list[Cell] = field(default_factory=list)
    saved: dict[int, list[tuple[int, int]]] = field(default_factory=dict)

    def carry_out(self, operations: list[Operation]) -> None:
        for operation in operations:
            match operation:
                case Trim(seq_id, num_kept):
                    self._trim(seq_id, num_kept)
                case Copy(source_id, seq_id, num_cells):
                    assert not self.tokens_of(seq_id)
                    for cell in self.cells:
                        if source_id in cell.seq_ids and cell.position < num_cells:
                            cell.seq_ids.add(seq_id)
                case Save(seq_id, start, end, key):
                    assert key not in self.saved
                    inside = {p: t for p, t in self.tokens_of(seq_id).items() if start <= p < end}
                    assert sorted(inside) == list(range(start, end))
                    self.saved[key] = sorted(inside.items())
                case Load(key, seq_id):
                    self.cells += [Cell(position, token, {seq_id}) for position, token in self.saved[key]]
                case Forget(key):
                    del self.saved[key]

    def compute(self, seq_id: int, start: int, tokens: list[int]) -> None:
        """A step's rows: positions must follow on without a gap."""
        assert sorted(self.tokens_of(seq_id)) == list(range(start))
        self.cells += [Cell(start + index, token, {seq_id}) for index, token in enumerate(tokens)]

    def tokens_of(self, seq_id: int) -> dict[int, int]:
        """Tokens by position."""
        found = [(cell.position, cell.token) for cell in self.cells if seq_id in cell.seq_ids]
        assert len(found) == len(dict(found)), "a position twice"
        return dict(found)

    def _trim(self, seq_id: int, num_kept: int) -> None:
        for cell in self.cells:
            if cell.position >= num_kept:
                cell.seq_ids.discard(seq_id)
        self.cells = [cell for cell in self.cells if cell.seq_ids]


def check_against(machine: KvMachine, ledger: KvLedger) -> None:
    """The ledger, the tree and the machine tell the same story, once all operations are carried out."""
    holders = _holders(ledger)
    for holder in holders:
        tokens = machine.tokens_of(holder.seq_id)
        assert [tokens[position] for position in range(len(tokens))] == holder.tokens[: holder.num_computed]
    assert {seq_id for cell in machine.cells for seq_id in cell.seq_ids} <= {holder.seq_id for holder in holders}
    running = {holder.seq_id for holder in holders if holder.is_running}
    num_used = sum(bool(cell.seq_ids & running) for cell in machine.cells)
    assert (ledger.num_used, ledger.num_cached) == (num_used, len(machine.cells) - num_used)
    assert len(machine.cells) <= ledger.capacity
    _check_tree(machine, ledger)


def _check_tree(machine: KvMachine, ledger: KvLedger) -> None:
    keys = set()
    for node in ledger.tree.nodes():
        assert node.tokens
        assert node.holders or node.key is not None, "nobody's node"
        assert node.num_running == sum(holder.is_running for holder in node.holders)
        assert node.parent is not None
        assert node.parent.end == node.start
        assert node in node.parent.children
        assert node.holders <= node.parent.holders or node.parent is ledger.tree.root
        if node.key is not None:
            keys.add(node.key)
            assert machine.saved[node.key] == list(enumerate(node.tokens, node.start))
            assert node.parent is ledger.tree.root or node.parent.key is not None, "saved without its beginning"
    assert keys == set(machine.saved)


def _holders(ledger: KvLedger) -> list[Holder]:
    nodes = [ledger.tree.root, *ledger.tree.nodes()]
    return [holder for node in nodes for holder in node.tails]
