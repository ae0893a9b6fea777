"""What a step holds, decided from plain lists; and that no order of events loses a cell or starves anybody."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.engine.kv_ledger import Forget, KvLedger, Load, Save, Trim
from edge_agent.engine.saved_prefixes import SavedPrefixes
from edge_agent.engine.scheduler import Scheduler, StepPlan
from edge_agent.engine.sequence import Sequence, SequenceState
from edge_agent.engine.step_costs import StepCosts
from edge_agent.protocol import PromptTokens


def make_scheduler(
    *,
    capacity: int = 1000,
    max_sequences: int = 4,
    max_batch_tokens: int = 64,
    costs: StepCosts | None = None,
    max_saved_tokens: int = 0,
) -> Scheduler:
    return Scheduler(
        ledger=KvLedger(
            capacity=capacity,
            num_sequence_ids=2 * max_sequences,
            is_trimmable=True,
            saved=SavedPrefixes(max_tokens=max_saved_tokens),
        ),
        costs=costs or StepCosts(),
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
        scheduler.submit(make_sequence(number, list(range(100))))

    # Two wait for one: 2 x 0.25 s hold 48 rows at 10 ms each.
    assert shape(do_step(scheduler)) == [(1, 3, 1), (2, 0, 47)]


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


@dataclass
class Model:
    """What llama.cpp would hold: the cells of every sequence id, as operations and steps change them."""

    cells: dict[int, list[int]] = field(default_factory=dict)
    saved: dict[int, list[int]] = field(default_factory=dict)

    def apply(self, scheduler: Scheduler, plan: StepPlan | None) -> None:
        for operation in scheduler.ledger.take_operations():
            match operation:
                case Trim(seq_id, num_kept):
                    self.cells[seq_id] = self.cells.get(seq_id, [])[:num_kept]
                case Save(seq_id, key):
                    self.saved[key] = list(self.cells[seq_id])
                case Load(key, seq_id):
                    assert not self.cells.get(seq_id)
                    self.cells[seq_id] = self.saved.pop(key)
                    assert self.num_cells <= scheduler.ledger.capacity
                case Forget(key):
                    del self.saved[key]
        for span in plan.spans if plan else ():
            held = self.cells.setdefault(span.sequence.running_id, [])
            assert len(held) == span.start, "rows must follow the cells that the sequence holds"
            held += span.sequence.tokens[span.start : span.start + span.count]

    @property
    def num_cells(self) -> int:
        return sum(map(len, self.cells.values()))


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
        )
        self.max_saved_tokens = max_saved_tokens
        self.model = Model()
        self.live: dict[int, Sequence] = {}
        self.num_submitted = 0

    def submit(self, tokens: list[int], max_tokens: int) -> None:
        self.num_submitted += 1
        sequence = make_sequence(self.num_submitted, tokens, max_tokens=min(max_tokens, 48 - len(tokens)))
        self.live[sequence.id] = sequence
        self.scheduler.submit(sequence)

    def step(self, token: int) -> None:
        plan = self.scheduler.plan()
        self.model.apply(self.scheduler, plan)
        if plan is None:
            assert not self.live, "someone waits although nobody runs"
            return
        assert plan.num_rows <= 16
        assert plan.num_rows > 0
        self.scheduler.commit(plan, started=0.0)
        for span in plan.spans:
            if span.wants_logits:
                self._append(span.sequence, token)

    def abort(self) -> None:
        plan = self.scheduler.plan()
        self.model.apply(self.scheduler, plan)
        if plan is not None:
            self.scheduler.undo(plan)
            self.model.apply(self.scheduler, None)

    def cancel(self, which: int) -> None:
        if self.live:
            number = sorted(self.live)[which % len(self.live)]
            self.scheduler.finish(self.live.pop(number))
            self.model.apply(self.scheduler, None)

    def _append(self, sequence: Sequence, token: int) -> None:
        sequence.tokens.append(token)
        if sequence.num_generated >= sequence.max_tokens:
            self.scheduler.finish(self.live.pop(sequence.id))

    def check(self) -> None:
        ledger = self.scheduler.ledger
        self.model.apply(self.scheduler, None)
        assert ledger.num_used + ledger.num_cached == self.model.num_cells <= ledger.capacity
        assert sum(map(len, self.model.saved.values())) <= self.max_saved_tokens
        assert len(self.scheduler.running) <= 3
        assert {s.id for s in (*self.scheduler.running, *self.scheduler.waiting)} == set(self.live)
        for sequence in self.scheduler.running:
            held = self.model.cells.get(sequence.running_id, [])
            assert held == sequence.tokens[: sequence.num_computed], "a sequence runs on another one's cells"


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
