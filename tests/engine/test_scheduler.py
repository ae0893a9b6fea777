"""What a step holds, decided from plain lists; and that no order of events loses a cell or starves anybody."""

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.engine.kv_ledger import KvLedger
from edge_agent.engine.kv_operations import Trim
from edge_agent.engine.scheduler import Drafter, Scheduler, Span, StepPlan
from edge_agent.engine.sequence import Sequence, SequenceState
from edge_agent.engine.step_costs import StepCosts
from edge_agent.protocol import PromptTokens

from .kv_machine import KvMachine, check_against


class NoDrafts:
    """Guesses nothing."""

    def observe(self, sequence: Sequence, *, num_drafted: int, num_accepted: int) -> None:
        pass

    def forget(self, sequence: Sequence) -> None:
        pass

    def drafts(self, decoding: list[Sequence], *, max_rows: int) -> dict[int, list[int]]:
        return {}


def make_scheduler(
    *,
    capacity: int = 1000,
    max_sequences: int = 4,
    max_batch_tokens: int = 64,
    costs: StepCosts | None = None,
    drafter: Drafter | None = None,
    max_saved_tokens: int = 0,
) -> Scheduler:
    return Scheduler(
        ledger=KvLedger(
            capacity=capacity,
            num_sequence_ids=2 * max_sequences,
            is_trimmable=True,
            max_saved_tokens=max_saved_tokens,
        ),
        costs=costs or StepCosts(),
        drafter=drafter or NoDrafts(),
        max_sequences=max_sequences,
        max_batch_tokens=max_batch_tokens,
        max_step_seconds=5.0,
        target_inter_token_seconds=0.25,
    )


def make_sequence(number: int, tokens: list[int], *, max_tokens: int = 1000) -> Sequence:
    return Sequence(id=number, tokens=list(tokens), max_tokens=max_tokens, arrived=0.0, queued=0.0)


def do_step(scheduler: Scheduler, *, token: int = 7) -> StepPlan | None:
    """Plan and commit a step; every sequence that reached its end gets `token`."""
    plan = scheduler.plan()
    if plan is None:
        return None
    scheduler.ledger.take_operations()
    scheduler.commit(plan, started=1.0)
    for span in plan.spans:
        if span.wants_logits:
            span.sequence.tokens.append(token)
    return plan


def shape(plan: StepPlan | None) -> list[tuple[int, int, int]]:
    assert plan is not None
    return [(span.sequence.id, span.start, span.count) for span in plan.spans]


def test_nothing_to_do_is_no_step() -> None:
    assert make_scheduler().plan() is None


def test_a_long_prompt_is_prefilled_in_chunks_and_then_decodes_one_row_a_step() -> None:
    scheduler = make_scheduler()
    scheduler.submit(make_sequence(1, list(range(70))))

    assert shape(do_step(scheduler)) == [(1, 0, 32)]
    assert shape(do_step(scheduler)) == [(1, 32, 32)]
    assert shape(do_step(scheduler)) == [(1, 64, 6)]
    assert shape(do_step(scheduler)) == [(1, 70, 1)]
    assert shape(do_step(scheduler)) == [(1, 71, 1)]


def test_a_running_answer_gets_its_row_before_a_new_prompt_gets_the_rest() -> None:
    costs = StepCosts()
    for rows in (1, 2, 4, 8, 16, 32, 64):
        costs.observe(rows, 0.01 * rows)
    scheduler = make_scheduler(costs=costs)
    scheduler.submit(make_sequence(1, [1, 2, 3]))
    do_step(scheduler)
    scheduler.submit(make_sequence(2, list(range(100))))

    # 0.25 s hold 24 rows at 10 ms each: one decodes, 23 prefill.
    plan = do_step(scheduler)
    assert shape(plan) == [(1, 3, 1), (2, 0, 23)]
    assert plan is not None
    assert (plan.num_decode_rows, plan.num_prefill_rows) == (1, 23)


def test_the_more_prompts_wait_the_longer_a_step_may_keep_the_few_waiting() -> None:
    costs = StepCosts()
    for rows in (1, 2, 4, 8, 16, 32, 64):
        costs.observe(rows, 0.01 * rows)
    scheduler = make_scheduler(costs=costs)
    scheduler.submit(make_sequence(1, [1, 2, 3]))
    do_step(scheduler)
    for number in (2, 3):
        scheduler.submit(make_sequence(number, [number * 1000 + index for index in range(100)]))

    # Two wait for one: 2 x 0.25 s hold 48 rows at 10 ms each.
    assert shape(do_step(scheduler)) == [(1, 3, 1), (2, 0, 47)]


def test_a_short_prompt_passes_a_long_one_which_gets_on_all_the_same() -> None:
    scheduler = make_scheduler()
    scheduler.submit(make_sequence(1, list(range(100))))
    do_step(scheduler)
    scheduler.submit(make_sequence(2, list(range(200, 220))))

    # 32 rows: a quarter for the oldest, the short one whole, the rest for the oldest again.
    assert shape(do_step(scheduler)) == [(1, 32, 12), (2, 0, 20)]


def test_a_prompt_waits_for_its_prefix_that_is_being_computed_and_shares_it() -> None:
    scheduler = make_scheduler()
    scheduler.submit(make_sequence(1, [*range(60), 100]))
    scheduler.submit(make_sequence(2, [*range(60), 200]))
    scheduler.submit(make_sequence(3, [300, 301]))

    # The second waits and is in nobody's way.
    assert shape(do_step(scheduler)) == [(1, 0, 30), (3, 0, 2)]
    assert [s.id for s in scheduler.waiting] == [2]
    do_step(scheduler)
    assert shape(do_step(scheduler)) == [(1, 61, 1), (3, 3, 1), (2, 60, 1)]
    assert scheduler.ledger.num_used == 61 + 1 + 1 + 4


def test_a_draft_gets_rows_behind_the_answers_own_and_leaves_what_was_wrong() -> None:
    scheduler = make_scheduler(drafter=RandomDrafts())
    sequence = make_sequence(1, [5, 6])
    scheduler.submit(sequence)
    do_step(scheduler)
    plan = scheduler.plan()
    assert plan is not None
    assert [(span.start, span.count, span.tokens) for span in plan.spans] == [(2, 3, [7, 1, 2])]
    scheduler.commit(plan, started=0.0)
    sequence.tokens += [1, 8]
    scheduler.ledger.take_operations()
    scheduler.settle_draft(plan.spans[0], 1)

    assert scheduler.ledger.take_operations() == [Trim(sequence.running_id, 4)]
    assert sequence.num_uncomputed == 1


def test_however_slow_the_board_a_prompt_gets_eight_rows_a_step() -> None:
    costs = StepCosts()
    costs.observe(1, 10.0)
    scheduler = make_scheduler(costs=costs)
    scheduler.submit(make_sequence(1, [1, 2, 3]))
    do_step(scheduler)
    scheduler.submit(make_sequence(2, list(range(100))))

    assert shape(do_step(scheduler)) == [(1, 3, 1), (2, 0, 8)]


def test_no_more_than_max_sequences_run() -> None:
    scheduler = make_scheduler(max_sequences=2)
    for number in (1, 2, 3):
        scheduler.submit(make_sequence(number, [number]))
    do_step(scheduler)
    assert [s.id for s in scheduler.running] == [1, 2]
    scheduler.finish(scheduler.running[0])
    do_step(scheduler)
    assert [s.id for s in scheduler.running] == [2, 3]


def test_a_prompt_waits_until_it_fits_beside_the_running_ones() -> None:
    scheduler = make_scheduler(capacity=50)
    scheduler.submit(make_sequence(1, list(range(30))))
    scheduler.submit(make_sequence(2, list(range(100, 125))))
    do_step(scheduler)
    assert [s.id for s in scheduler.waiting] == [2]
    scheduler.finish(scheduler.running[0])
    assert shape(do_step(scheduler)) == [(2, 0, 25)]


def test_a_short_prompt_overtakes_a_long_one_that_does_not_fit_yet_but_not_for_ever() -> None:
    scheduler = make_scheduler(capacity=60)
    scheduler.submit(make_sequence(1, list(range(30))))
    do_step(scheduler)
    scheduler.submit(make_sequence(2, list(range(100, 150))))
    for number in range(3, 13):
        scheduler.submit(make_sequence(number, [number]))
    admitted: list[int] = []
    for _ in range(12):
        do_step(scheduler)
        for sequence in [s for s in scheduler.running if s.id != 1]:
            admitted.append(sequence.id)
            scheduler.finish(sequence)
    assert admitted == [3, 4, 5, 6, 7, 8, 9, 10]
    scheduler.finish(scheduler.running[0])
    do_step(scheduler)
    assert scheduler.running[0].id == 2


def test_when_cells_run_out_the_newest_goes_back_to_wait_and_keeps_its_tokens() -> None:
    scheduler = make_scheduler(capacity=26, costs=_cheap())
    first, second = make_sequence(1, list(range(12))), make_sequence(2, list(range(50, 60)))
    scheduler.submit(first)
    scheduler.submit(second)
    do_step(scheduler)  # 22 cells
    do_step(scheduler)  # 24
    do_step(scheduler)  # 26: full
    plan = do_step(scheduler)

    assert shape(plan) == [(1, 14, 1)]
    assert second.state is SequenceState.WAITING
    assert second.tokens == [*range(50, 60), 7, 7, 7]
    assert second.num_computed == 0

    scheduler.finish(first)
    plan = do_step(scheduler)
    assert shape(plan) == [(2, 0, 13)]
    assert plan is not None
    # Its own words are computed again, so these are prefill rows, and the next token follows.
    assert plan.num_prefill_rows == 13
    assert second.tokens == [*range(50, 60), 7, 7, 7, 7]


def test_tokens_computed_again_are_not_counted_again() -> None:
    sequence = make_sequence(1, [1, 2, 3, 4])
    sequence.num_computed = 3
    assert sequence.count_prompt() == PromptTokens(computed=3)
    sequence.num_computed = 0
    assert sequence.count_prompt() == PromptTokens()
    sequence.num_computed = 4
    assert sequence.count_prompt() == PromptTokens(computed=1)
    assert sequence.prompt == PromptTokens(computed=4)


def test_a_prefix_hit_prefills_only_the_tail() -> None:
    scheduler = make_scheduler()
    first = make_sequence(1, [1, 2, 3, 4])
    scheduler.submit(first)
    do_step(scheduler)
    do_step(scheduler)
    scheduler.finish(first)
    # Its cells hold 1 2 3 4 and the first answered token, 7; the last token was never computed.
    second = make_sequence(2, [1, 2, 3, 4, 7, 8, 9])
    scheduler.submit(second)

    assert shape(do_step(scheduler)) == [(2, 5, 2)]
    assert second.count_prompt() == PromptTokens(computed=2, memory=5)


def test_an_undone_step_leaves_every_sequence_as_it_was() -> None:
    scheduler = make_scheduler()
    sequence = make_sequence(1, list(range(40)))
    scheduler.submit(sequence)
    do_step(scheduler)
    plan = scheduler.plan()
    assert plan is not None
    scheduler.undo(plan)

    assert sequence.num_computed == 32
    assert scheduler.ledger.num_used == 32
    assert shape(do_step(scheduler)) == [(1, 32, 8)]


def test_room_is_made_by_held_prefixes_first_and_by_the_newest_then() -> None:
    scheduler = make_scheduler()
    finished = make_sequence(1, [1, 2, 3])
    scheduler.submit(finished)
    do_step(scheduler)
    scheduler.finish(finished)
    for number in (2, 3):
        scheduler.submit(make_sequence(number, [number]))
    do_step(scheduler)

    assert scheduler.give_room()
    assert scheduler.ledger.num_cached == 0
    assert scheduler.give_room()
    assert [s.id for s in scheduler.waiting] == [3]
    assert not scheduler.give_room()


def _cheap() -> StepCosts:
    costs = StepCosts()
    for rows in (1, 2, 4, 8, 16, 32, 64):
        costs.observe(rows, 0.001)
    return costs


# --- any order of events -------------------------------------------------------------------------------------------


class RandomDrafts(NoDrafts):
    """Drafts of two tokens, of which the world says how many are right."""

    def drafts(self, decoding: list[Sequence], *, max_rows: int) -> dict[int, list[int]]:
        return {sequence.id: [1, 2] for sequence in decoding[: max_rows // 2] if sequence.id % 2}


EVENTS = st.one_of(
    st.tuples(st.just("submit"), st.lists(st.integers(0, 2), min_size=1, max_size=30), st.integers(1, 12)),
    st.tuples(st.just("step"), st.integers(0, 2)),
    st.tuples(st.just("abort")),
    st.tuples(st.just("cancel"), st.integers(0, 10)),
)


class World:
    """A scheduler, the cells as llama.cpp would have them, and the rules that must hold after every event."""

    def __init__(self, *, max_saved_tokens: int) -> None:
        self.scheduler = make_scheduler(
            capacity=48,
            max_sequences=3,
            max_batch_tokens=16,
            costs=_cheap(),
            max_saved_tokens=max_saved_tokens,
            drafter=RandomDrafts(),
        )
        self.machine = KvMachine()
        self.live: dict[int, Sequence] = {}
        self.num_submitted = 0

    def submit(self, tokens: list[int], max_tokens: int) -> None:
        self.num_submitted += 1
        sequence = make_sequence(self.num_submitted, tokens, max_tokens=min(max_tokens, 48 - len(tokens)))
        self.live[sequence.id] = sequence
        self.scheduler.submit(sequence)

    def step(self, token: int) -> None:
        plan = self.plan()
        if plan is None:
            assert not self.live, "someone waits although nobody runs"
            return
        assert plan.num_rows <= 16
        assert plan.num_rows > 0
        self.scheduler.commit(plan, started=0.0)
        for span in plan.spans:
            if span.wants_logits:
                self._append(span, token)

    def plan(self) -> StepPlan | None:
        """The next step, computed."""
        plan = self.scheduler.plan()
        self.carry_out()
        for span in plan.spans if plan else ():
            self.machine.compute(span.sequence.running_id, span.start, span.tokens)
        return plan

    def carry_out(self) -> None:
        self.machine.carry_out(self.scheduler.ledger.take_operations())

    def abort(self) -> None:
        plan = self.plan()
        if plan is not None:
            self.scheduler.undo(plan)

    def cancel(self, which: int) -> None:
        if self.live:
            number = sorted(self.live)[which % len(self.live)]
            self.scheduler.finish(self.live.pop(number))

    def _append(self, span: Span, token: int) -> None:
        sequence = span.sequence
        # As many of the draft are right as the token says, within what the answer may still hold.
        num_right = min(token, len(span.draft), sequence.max_tokens - sequence.num_generated - 1)
        sequence.tokens += span.draft[:num_right]
        sequence.tokens.append(token)
        self.scheduler.settle_draft(span, num_right)
        if sequence.num_generated >= sequence.max_tokens:
            self.scheduler.finish(self.live.pop(sequence.id))

    def check(self) -> None:
        self.carry_out()
        check_against(self.machine, self.scheduler.ledger)
        assert len(self.scheduler.running) <= 3
        assert {s.id for s in (*self.scheduler.running, *self.scheduler.waiting)} == set(self.live)
        for sequence in self.scheduler.running:
            held = self.machine.tokens_of(sequence.running_id)
            kept = [held[position] for position in range(len(held))]
            assert kept == sequence.tokens[: sequence.num_computed], "a sequence runs on another one's cells"


@settings(max_examples=300, deadline=None)
@given(events=st.lists(EVENTS, max_size=60), max_saved_tokens=st.sampled_from([0, 8, 60]))
def test_no_order_of_events_loses_a_cell_or_starves_anybody(
    events: list[tuple[object, ...]], max_saved_tokens: int
) -> None:
    world = World(max_saved_tokens=max_saved_tokens)
    for name, *arguments in events:
        getattr(world, str(name))(*arguments)
        world.check()
    # Left alone, every live sequence is answered: each step gives at least one row to somebody.
    for _ in range(2000):
        if not world.live:
            break
        world.step(1)
        world.check()
    assert not world.live
