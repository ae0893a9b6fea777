"""The ledger's promises, in plain lists."""

import pytest

from edge_agent.engine.kv_ledger import KvLedger, Lease, PrefixCounts
from edge_agent.engine.kv_operations import Copy, Forget, Load, Save, Trim
from edge_agent.engine.prefix_tree import common_prefix_length
from edge_agent.protocol import KvCells


def make_ledger(
    *, capacity: int = 100, num_sequence_ids: int = 4, is_trimmable: bool = True, max_saved_tokens: int = 0
) -> KvLedger:
    """A ledger that holds finished conversations in the cache, unless some may be saved."""
    return KvLedger(
        capacity=capacity,
        num_sequence_ids=num_sequence_ids,
        is_trimmable=is_trimmable,
        max_saved_tokens=max_saved_tokens,
    )


def run(ledger: KvLedger, tokens: list[int]) -> int:
    """Lease and compute all; returns the sequence id."""
    lease = ledger.lease(tokens)
    ledger.grow(lease.seq_id, len(tokens) - lease.num_hit)
    return lease.seq_id


def run_to_the_end(ledger: KvLedger, tokens: list[int]) -> int:
    """One conversation turn: lease, compute all, hold. Returns its sequence id."""
    seq_id = run(ledger, tokens)
    ledger.hold(seq_id, tokens)
    return seq_id


@pytest.mark.parametrize(
    ("left", "right", "start", "length"),
    [
        ([], [1], 0, 0),
        ([1], [1], 0, 1),
        ([1, 2, 3], [1, 2, 4], 0, 2),
        ([5, 2, 3], [1, 2, 3], 0, 0),
        ([1, 2], [1, 2, 3, 4], 0, 2),
        ([1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 5, 6, 7, 9], 0, 7),
        ([1, 1, 1, 1, 1], [1, 2, 1, 1, 1], 0, 1),
        ([3, 4, 5], [1, 2, 3, 4, 9], 2, 2),
        ([3], [1, 2, 3], 3, 0),
    ],
)
def test_common_prefix_is_the_number_of_equal_tokens_at_the_start(
    left: list[int], right: list[int], start: int, length: int
) -> None:
    assert common_prefix_length(left, right, start) == length


# --- in the cache --------------------------------------------------------------------------------------------------


def test_the_next_turn_of_a_conversation_goes_on_in_its_cells() -> None:
    ledger = make_ledger()
    seq_id = run_to_the_end(ledger, [1, 2, 3, 4])

    assert ledger.lease([1, 2, 3, 4, 5, 6]) == Lease(seq_id, 4)
    assert ledger.take_operations() == []
    assert ledger.cells == KvCells(used=4, cached=0, capacity=100)


def test_at_least_one_token_of_a_repeated_prompt_is_computed() -> None:
    ledger = make_ledger()
    seq_id = run_to_the_end(ledger, [1, 2, 3, 4])

    assert ledger.lease([1, 2, 3, 4]) == Lease(seq_id, 3)
    assert ledger.take_operations() == [Trim(seq_id, 3)]


def test_two_conversations_that_begin_alike_share_cells_which_are_counted_once() -> None:
    ledger = make_ledger()
    first = run(ledger, [1, 2, 3, 4, 5])

    lease = ledger.lease([1, 2, 3, 8, 9])

    assert lease == Lease(lease.seq_id, 3, num_shared=3)
    assert ledger.take_operations() == [Copy(first, lease.seq_id, 3)]
    ledger.grow(lease.seq_id, 2)
    assert ledger.cells == KvCells(used=7, cached=0, capacity=100)


def test_shared_cells_stay_while_one_of_the_two_runs() -> None:
    ledger = make_ledger()
    first = run(ledger, [1, 2, 3, 4, 5])
    second = run(ledger, [1, 2, 3, 8])

    ledger.release(first)
    assert ledger.num_used == 4
    ledger.release(second)
    assert ledger.num_used == 0


def test_a_conversation_in_the_cache_outlives_another_that_branches_off_it() -> None:
    ledger = make_ledger()
    held = run_to_the_end(ledger, [1, 2, 3, 4, 5, 6, 7, 8])
    lease = ledger.lease([1, 2, 3, 9, 9])
    ledger.hold(lease.seq_id, [1, 2, 3])

    assert lease.num_hit == 3
    assert ledger.lease([1, 2, 3, 4, 5, 6, 7, 8, 9]) == Lease(held, 8)


def test_what_a_running_sequence_is_about_to_compute_is_worth_waiting_for() -> None:
    ledger = make_ledger()
    lease = ledger.lease(list(range(30)))
    prompt = [*range(20), 99]
    assert ledger.is_coming(prompt)

    ledger.grow(lease.seq_id, 20)
    assert not ledger.is_coming(prompt)
    assert ledger.num_running_shared(prompt) == 20


def test_a_recurrent_model_reuses_a_prefix_only_whole_and_shares_none() -> None:
    ledger = make_ledger(is_trimmable=False)
    seq_id = run_to_the_end(ledger, [1, 2, 3, 4])

    assert not ledger.is_coming([1, 2, 3, 9])
    assert ledger.lease([1, 2, 3, 9]).num_hit == 0
    assert ledger.lease([1, 2, 3, 4, 5]) == Lease(seq_id, 4)
    assert ledger.lease([1, 2, 3, 4, 6]).num_hit == 0


def test_growing_evicts_the_least_recently_used_sequence_first() -> None:
    ledger = make_ledger(capacity=10)
    oldest = run_to_the_end(ledger, [1, 2, 3, 4])
    newest = run_to_the_end(ledger, [5, 6, 7, 8])
    lease = ledger.lease([9, 9, 9])

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


def test_without_a_free_id_a_held_sequence_gives_way() -> None:
    ledger = make_ledger(num_sequence_ids=1)
    seq_id = run_to_the_end(ledger, [1, 2])

    assert ledger.lease([7, 8]) == Lease(seq_id, 0)
    with pytest.raises(LookupError, match="every sequence id is running"):
        ledger.lease([9])


def test_counts_are_handed_out_once() -> None:
    ledger = make_ledger(capacity=5)
    run_to_the_end(ledger, [1, 2, 3, 4])
    run(ledger, [1, 2, 8])

    assert ledger.take_counts() == PrefixCounts(num_queried=7, num_hit=2, num_evicted=0)
    ledger.evict_all()
    assert ledger.take_counts() == PrefixCounts(num_queried=0, num_hit=0, num_evicted=2)


def test_undone_growth_frees_the_cells_and_trims_them() -> None:
    ledger = make_ledger()
    seq_id = run(ledger, [1, 2, 3])

    ledger.shrink(seq_id, 1)

    assert ledger.num_used == 1
    assert ledger.take_operations() == [Trim(seq_id, 1)]


def test_a_sequence_without_computed_cells_is_not_held() -> None:
    ledger = make_ledger(num_sequence_ids=1)
    lease = ledger.lease([1, 2])

    ledger.hold(lease.seq_id, [])

    assert ledger.num_cached == 0
    assert ledger.lease([3]).seq_id == lease.seq_id


def test_what_another_sequence_holds_too_is_not_kept_twice() -> None:
    ledger = make_ledger()
    first = run(ledger, [1, 2, 3, 4])
    second = run(ledger, [1, 2, 3, 4])

    ledger.hold(first, [1, 2, 3, 4])
    ledger.hold(second, [1, 2, 3, 4])

    assert ledger.num_cached == 4


# --- saved outside the cache ---------------------------------------------------------------------------------------


def test_a_finished_conversation_is_saved_where_it_fits_and_its_cells_are_freed() -> None:
    ledger = make_ledger(max_saved_tokens=10)
    seq_id = run_to_the_end(ledger, [1, 2, 3, 4])

    assert ledger.take_operations() == [Save(seq_id, 0, 4, 1), Trim(seq_id, 0)]
    assert ledger.cells == KvCells(used=0, cached=0, capacity=100)


def test_its_next_turn_loads_it_and_saves_only_what_is_new() -> None:
    ledger = make_ledger(max_saved_tokens=10)
    run_to_the_end(ledger, [1, 2, 3, 4])
    ledger.take_operations()

    seq_id = run_to_the_end(ledger, [1, 2, 3, 4, 5, 6])

    assert ledger.take_operations() == [Load(1, seq_id), Save(seq_id, 4, 6, 2), Trim(seq_id, 0)]


def test_a_prompt_that_branches_off_a_saved_run_cuts_it_in_two() -> None:
    ledger = make_ledger(max_saved_tokens=10)
    run_to_the_end(ledger, [1, 2, 3, 4])
    ledger.take_operations()

    lease = ledger.lease([1, 2, 9, 9])

    seq_id = lease.seq_id
    assert lease == Lease(seq_id, 2, num_shared=2)
    assert ledger.take_operations() == [
        Load(1, seq_id), Save(seq_id, 0, 2, 2), Save(seq_id, 2, 4, 3), Forget(1), Trim(seq_id, 2),
    ]  # fmt: skip
    assert ledger.num_used == 2
    assert ledger.lease([1, 2, 3, 4, 5]).num_hit == 4


def test_the_oldest_saved_conversation_is_forgotten_when_the_bound_is_reached() -> None:
    ledger = make_ledger(max_saved_tokens=6)
    run_to_the_end(ledger, [1, 2, 3, 4])
    ledger.take_operations()
    seq_id = run_to_the_end(ledger, [5, 6, 7])

    assert ledger.take_operations() == [Save(seq_id, 0, 3, 2), Forget(1), Trim(seq_id, 0)]
    assert ledger.take_counts().num_evicted == 4


def test_the_end_of_a_conversation_is_forgotten_before_its_beginning() -> None:
    ledger = make_ledger(max_saved_tokens=9)
    run_to_the_end(ledger, [1, 2, 3])
    run_to_the_end(ledger, [1, 2, 3, 4, 5, 6])
    run_to_the_end(ledger, [7, 8, 9, 10])
    ledger.take_operations()

    assert ledger.lease([1, 2, 3, 4, 5, 6, 7]).num_hit == 3


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


def test_a_prefix_from_the_disk_is_found_like_a_saved_one_and_said_to_be_from_there_once() -> None:
    ledger = make_ledger(max_saved_tokens=2)
    key = ledger.restore([1, 2, 3, 4])

    first = ledger.lease([1, 2, 3, 4, 5])
    second = ledger.lease([1, 2, 3, 4, 6])

    assert (first.num_hit, first.num_from_disk) == (4, 4)
    assert (second.num_hit, second.num_from_disk) == (4, 0)
    assert ledger.take_operations() == [Load(key, first.seq_id), Copy(first.seq_id, second.seq_id, 4)]
