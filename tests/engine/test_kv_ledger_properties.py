"""Any order of leases, growth, ends and evictions: no cell is lost, none is shared wrongly, every count is true."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge_agent.engine.kv_ledger import KvLedger

from .kv_machine import KvMachine, check_against

# Few tokens, so that prefixes repeat and branch.
token_lists = st.lists(st.integers(0, 2), min_size=1, max_size=14)


class LedgerMachine(RuleBasedStateMachine):
    """A ledger, the cells that llama.cpp would have, and the sequences that run."""

    def __init__(self) -> None:
        super().__init__()
        self.running: dict[int, list[int]] = {}
        self.computed: dict[int, int] = {}
        self.prompts: list[list[int]] = [[0, 1, 2]]

    @initialize(capacity=st.integers(20, 60), is_trimmable=st.booleans(), max_saved=st.sampled_from([0, 5, 20, 100]))
    def begin(self, capacity: int, is_trimmable: bool, max_saved: int) -> None:
        self.machine = KvMachine()
        self.max_sequences = 3
        self.is_trimmable = is_trimmable
        self.ledger = KvLedger(
            capacity=capacity, num_sequence_ids=6, is_trimmable=is_trimmable, max_saved_tokens=max_saved
        )

    def carry_out(self) -> None:
        self.machine.carry_out(self.ledger.take_operations())

    @precondition(lambda self: len(self.running) < self.max_sequences)
    @rule(ending=token_lists, index=st.integers(0, 100), num_repeated=st.integers(0, 14))
    def lease(self, ending: list[int], index: int, num_repeated: int) -> None:
        tokens = self.prompts[index % len(self.prompts)][:num_repeated] + ending
        self.prompts.append(tokens)
        lease = self.ledger.lease(tokens)
        assert lease.seq_id not in self.running
        assert 0 <= lease.num_from_disk <= lease.num_hit < len(tokens)
        assert 0 <= lease.num_shared <= lease.num_hit
        self.running[lease.seq_id] = tokens
        self.computed[lease.seq_id] = lease.num_hit

    @precondition(lambda self: self.running)
    @rule(index=st.integers(0, 100), num_rows=st.integers(1, 6), num_undone=st.integers(0, 6))
    def compute(self, index: int, num_rows: int, num_undone: int) -> None:
        seq_id = self.seq_id_at(index)
        tokens, start = self.running[seq_id], self.computed[seq_id]
        tokens += [1] * max(0, start + num_rows - len(tokens))
        if num_rows > self.ledger.num_available:
            return
        self.ledger.grow(seq_id, num_rows)
        self.carry_out()
        self.machine.compute(seq_id, start, tokens[start : start + num_rows])
        kept = start + max(0, num_rows - num_undone)
        if kept < start + num_rows and self.is_trimmable:
            self.ledger.shrink(seq_id, kept)
            self.computed[seq_id] = kept
        else:
            self.computed[seq_id] = start + num_rows

    @precondition(lambda self: self.running)
    @rule(index=st.integers(0, 100))
    def hold(self, index: int) -> None:
        seq_id = self.seq_id_at(index)
        tokens = self.running.pop(seq_id)[: self.computed.pop(seq_id)]
        self.prompts.append(tokens)
        self.ledger.hold(seq_id, tokens)

    @precondition(lambda self: self.running)
    @rule(index=st.integers(0, 100))
    def release(self, index: int) -> None:
        seq_id = self.seq_id_at(index)
        del self.running[seq_id], self.computed[seq_id]
        self.ledger.release(seq_id)

    @rule()
    def evict_all(self) -> None:
        self.ledger.evict_all()
        assert self.ledger.num_cached == 0

    @precondition(lambda self: self.is_trimmable)
    @rule(tokens=token_lists)
    def restore(self, tokens: list[int]) -> None:
        key = self.ledger.restore(tokens)
        self.machine.saved[key] = list(enumerate(tokens))

    def seq_id_at(self, index: int) -> int:
        return sorted(self.running)[index % len(self.running)]

    @invariant()
    def all_agree(self) -> None:
        if hasattr(self, "ledger"):
            self.carry_out()
            check_against(self.machine, self.ledger)


LedgerMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestLedger = LedgerMachine.TestCase


@given(prompt=token_lists, ending=token_lists)
@settings(deadline=None)
def test_what_is_coming_is_never_less_than_what_is_held(prompt: list[int], ending: list[int]) -> None:
    ledger = KvLedger(capacity=100, num_sequence_ids=4, is_trimmable=True, max_saved_tokens=0)
    first = ledger.lease(list(prompt))
    ledger.grow(first.seq_id, len(prompt) // 2)

    match = ledger.tree.match(prompt + ending)

    assert match.num_held == len(prompt) // 2
    assert match.num_coming >= len(prompt)
