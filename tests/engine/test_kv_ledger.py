"""The ledger's promises, in plain lists."""

import pytest

from edge_agent.engine.kv_ledger import (
    Forget,
    KvLedger,
    Lease,
    Load,
    PrefixCounts,
    Save,
    Trim,
    common_prefix_length,
)
from edge_agent.engine.saved_prefixes import SavedPrefixes
from edge_agent.protocol import KvCells


def make_ledger(
    *, capacity: int = 100, num_sequence_ids: int = 4, is_trimmable: bool = True, max_saved_tokens: int = 0
) -> KvLedger:
    """A ledger that holds finished conversations in the cache, unless some may be saved."""
    return KvLedger(
        capacity=capacity,
        num_sequence_ids=num_sequence_ids,
        is_trimmable=is_trimmable,
        saved=SavedPrefixes(max_tokens=max_saved_tokens),
    )


def run_to_the_end(ledger: KvLedger, tokens: list[int]) -> int:
    """One conversation turn: lease, compute all, hold. Returns its sequence id."""
    lease = ledger.lease(tokens)
    ledger.grow(lease.seq_id, len(tokens) - lease.num_hit)
    ledger.hold(lease.seq_id, tokens)
    return lease.seq_id


@pytest.mark.parametrize(
    ("left", "right", "length"),
    [
        ([], [1], 0),
        ([1], [1], 1),
        ([1, 2, 3], [1, 2, 4], 2),
        ([5, 2, 3], [1, 2, 3], 0),
        ([1, 2], [1, 2, 3, 4], 2),
        ([1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 5, 6, 7, 9], 7),
        ([1, 1, 1, 1, 1], [1, 2, 1, 1, 1], 1),
    ],
)
def test_common_prefix_is_the_number_of_equal_tokens_at_the_start(
    left: list[int], right: list[int], length: int
) -> None:
    assert common_prefix_length(left, right) == length


def test_the_next_turn_of_a_conversation_finds_its_cells() -> None:
    ledger = make_ledger()
    seq_id = run_to_the_end(ledger, [1, 2, 3, 4])
    ledger.take_operations()

    lease = ledger.lease([1, 2, 3, 4, 5, 6])

    assert lease == Lease(seq_id, 4)
    assert ledger.take_operations() == []
    assert ledger.cells == KvCells(used=4, cached=0, capacity=100)


def test_at_least_one_token_of_a_repeated_prompt_is_computed() -> None:
    ledger = make_ledger()
    seq_id = run_to_the_end(ledger, [1, 2, 3, 4])
    ledger.take_operations()

    assert ledger.lease([1, 2, 3, 4]) == Lease(seq_id, 3)
    assert ledger.take_operations() == [Trim(seq_id, 3)]


def test_a_prompt_that_shares_only_a_greeting_leaves_the_held_conversation_alone() -> None:
    ledger = make_ledger()
    held = run_to_the_end(ledger, [1, 2, 3, 4, 5, 6, 7, 8])

    lease = ledger.lease([1, 2, 3, 9, 9])

    assert lease.num_hit == 0
    assert lease.seq_id != held
    assert ledger.num_cached == 8


def test_of_two_held_conversations_the_longer_match_is_taken() -> None:
    ledger = make_ledger()
    run_to_the_end(ledger, [1, 2])
    longer = run_to_the_end(ledger, [1, 9, 3, 4])

    assert ledger.lease([1, 9, 3, 4, 5]) == Lease(longer, 4)


def test_a_recurrent_model_reuses_a_prefix_only_whole() -> None:
    ledger = make_ledger(is_trimmable=False)
    seq_id = run_to_the_end(ledger, [1, 2, 3, 4])

    assert ledger.lease([1, 2, 3, 9]).num_hit == 0
    assert ledger.lease([1, 2, 3, 4, 5]) == Lease(seq_id, 4)


def test_growing_evicts_the_least_recently_used_prefix_first() -> None:
    ledger = make_ledger(capacity=10)
    oldest = run_to_the_end(ledger, [1, 2, 3, 4])
    newest = run_to_the_end(ledger, [5, 6, 7, 8])
    lease = ledger.lease([9, 9, 9])
    ledger.take_operations()

    ledger.grow(lease.seq_id, 3)

    assert ledger.take_operations() == [Trim(oldest, 0)]
    assert ledger.cells == KvCells(used=3, cached=4, capacity=10)
    assert ledger.lease([5, 6, 7, 8, 1]).seq_id == newest


def test_growing_never_takes_a_running_sequences_cells() -> None:
    ledger = make_ledger(capacity=10)
    first = ledger.lease([1])
    ledger.grow(first.seq_id, 8)
    second = ledger.lease([2])

    with pytest.raises(LookupError, match="3 cells wanted, 2 available"):
        ledger.grow(second.seq_id, 3)
    assert ledger.num_used == 8


def test_without_a_free_id_a_held_prefix_gives_way() -> None:
    ledger = make_ledger(num_sequence_ids=1)
    seq_id = run_to_the_end(ledger, [1, 2])

    assert ledger.lease([7, 8]) == Lease(seq_id, 0)
    with pytest.raises(LookupError):
        ledger.lease([9])


def test_counts_are_handed_out_once() -> None:
    ledger = make_ledger()
    run_to_the_end(ledger, [1, 2, 3, 4])
    ledger.lease([1, 2, 3, 5])

    assert ledger.take_counts() == PrefixCounts(num_queried=8, num_hit=3, num_evicted=1)
    assert ledger.take_counts() == PrefixCounts(num_queried=0, num_hit=0, num_evicted=0)


def test_undone_growth_frees_the_cells_and_trims_them() -> None:
    ledger = make_ledger()
    lease = ledger.lease([1, 2, 3])
    ledger.grow(lease.seq_id, 3)

    ledger.shrink(lease.seq_id, 1)

    assert ledger.num_used == 1
    assert ledger.take_operations() == [Trim(lease.seq_id, 1)]


def test_a_sequence_without_computed_cells_is_not_held() -> None:
    ledger = make_ledger(num_sequence_ids=1)
    lease = ledger.lease([1, 2])

    ledger.hold(lease.seq_id, [])

    assert ledger.num_cached == 0
    assert ledger.lease([3]).seq_id == lease.seq_id


def test_a_finished_conversation_is_saved_where_it_fits_and_its_cells_are_freed() -> None:
    ledger = make_ledger(max_saved_tokens=10)
    seq_id = run_to_the_end(ledger, [1, 2, 3, 4])

    assert ledger.take_operations() == [Save(seq_id, 1), Trim(seq_id, 0)]
    assert ledger.cells == KvCells(used=0, cached=0, capacity=100)


def test_its_next_turn_loads_it_and_drops_what_differs() -> None:
    ledger = make_ledger(max_saved_tokens=10)
    run_to_the_end(ledger, [1, 2, 3, 4])
    ledger.take_operations()

    lease = ledger.lease([1, 2, 3, 9, 9])

    assert lease.num_hit == 3
    assert ledger.take_operations() == [Load(1, lease.seq_id), Trim(lease.seq_id, 3)]
    assert ledger.num_used == 3
    # It is nobody else's any more.
    assert ledger.lease([1, 2, 3, 4]).num_hit == 0


def test_the_oldest_saved_conversation_is_forgotten_when_the_bound_is_reached() -> None:
    ledger = make_ledger(max_saved_tokens=6)
    run_to_the_end(ledger, [1, 2, 3, 4])
    ledger.take_operations()
    seq_id = run_to_the_end(ledger, [5, 6, 7])

    assert ledger.take_operations() == [Save(seq_id, 2), Forget(1), Trim(seq_id, 0)]
    assert ledger.take_counts().num_evicted == 4


def test_a_conversation_too_long_to_save_is_held_in_its_cells() -> None:
    ledger = make_ledger(max_saved_tokens=3)
    seq_id = run_to_the_end(ledger, [1, 2, 3, 4])

    assert ledger.take_operations() == []
    assert ledger.lease([1, 2, 3, 4, 5]) == Lease(seq_id, 4)


def test_a_saved_conversation_is_not_loaded_where_it_finds_no_room() -> None:
    ledger = make_ledger(capacity=10, max_saved_tokens=8)
    run_to_the_end(ledger, [1, 2, 3, 4, 5, 6])
    other = ledger.lease([9])
    ledger.grow(other.seq_id, 6)

    assert ledger.lease([1, 2, 3, 4]).num_hit == 0
    assert ledger.num_used == 6
