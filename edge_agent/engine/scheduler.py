"""Decides what the next step computes: who is admitted, who prefills how much, who is sent back to wait.

Pure: plain lists in, a plan out. Whoever is being answered gets a row in every step, and further ones for what is
drafted; prefill fills the rest within a time budget. It does not know llama.cpp, text, or the clock beyond the moments
it is handed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from edge_agent.engine.kv_ledger import KvLedger
from edge_agent.engine.sequence import Sequence, SequenceState
from edge_agent.engine.step_costs import StepCosts

# However slow the board, a waiting prompt gets this many rows of each step, so that it is answered some day.
MIN_PREFILL_ROWS = 8
# So many later requests may start before one that does not fit yet; then nobody does until it fits.
MAX_OVERTAKEN = 8
# Of the prefill rows the shortest prompts get all but a quarter, which is the oldest one's: nobody starves.
OLDEST_SHARE = 4


class Drafter(Protocol):
    """Guesses what running answers go on with."""

    def drafts(self, decoding: list[Sequence], *, max_rows: int) -> dict[int, list[int]]:
        """Tokens by the sequence's id, at most `max_rows` in all; sequences without any are left out."""

    def observe(self, sequence: Sequence, *, num_drafted: int, num_accepted: int) -> None:
        """The sequence's draft of the last step was checked."""

    def forget(self, sequence: Sequence) -> None:
        """The sequence is over."""


@dataclass(frozen=True, slots=True)
class Span:
    """Rows of one sequence in a step: tokens[start : start + count], as the sequence stood when it was planned.

    The last ones of a running answer may be drafted: tokens that are guessed to follow.
    """

    sequence: Sequence
    start: int
    count: int
    # One row of a running answer, not part of a prompt.
    is_decode: bool
    # The rows reach the sequence's end: the last one's logits give the next token.
    wants_logits: bool
    draft: tuple[int, ...] = ()

    @property
    def tokens(self) -> list[int]:
        """What the rows hold."""
        return self.sequence.tokens[self.start : self.start + self.count - len(self.draft)] + list(self.draft)


def _span(sequence: Sequence, count: int) -> Span:
    return Span(
        sequence,
        start=sequence.num_computed,
        count=count,
        is_decode=sequence.is_decoding,
        wants_logits=count == sequence.num_uncomputed,
    )


@dataclass(frozen=True, slots=True)
class StepPlan:
    """The spans of one batch, decoding sequences first."""

    spans: list[Span]

    @property
    def num_rows(self) -> int:
        return sum(span.count for span in self.spans)

    @property
    def num_decode_rows(self) -> int:
        return sum(span.is_decode for span in self.spans)

    @property
    def num_prefill_rows(self) -> int:
        return self.num_rows - self.num_decode_rows


class Scheduler:
    """Waiting and running sequences, and the cells they hold."""

    def __init__(
        self,
        *,
        ledger: KvLedger,
        costs: StepCosts,
        drafter: Drafter,
        max_sequences: int,
        max_batch_tokens: int,
        max_step_seconds: float,
        target_inter_token_seconds: float,
    ) -> None:
        self.ledger = ledger
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self._admitted: list[Sequence] = []
        self._costs = costs
        self._drafter = drafter
        self._max_sequences = max_sequences
        self._max_batch_tokens = max_batch_tokens
        self._max_step_seconds = max_step_seconds
        self._target_inter_token_seconds = target_inter_token_seconds

    def submit(self, sequence: Sequence) -> None:
        """Queue a sequence behind all others."""
        self.waiting.append(sequence)

    def find(self, request_id: int) -> Sequence | None:
        """The live sequence of a request."""
        return next((s for s in self._live() if s.id == request_id), None)

    @property
    def is_idle(self) -> bool:
        """Whether nobody runs and nobody waits."""
        return not self.running and not self.waiting

    def take_admitted(self) -> list[Sequence]:
        """Who was admitted since the last call."""
        admitted, self._admitted = self._admitted, []
        return admitted

    def plan(self) -> StepPlan | None:
        """The next step, or None when there is nothing to compute. The ledger's trims must be carried out before it."""
        self._admit()
        if not self.running:
            return None
        self._preempt_until_room()
        decoding = [s for s in self.running if s.is_decoding]
        for sequence in decoding:
            self.ledger.grow(sequence.running_id, 1)
        if len(decoding) == len(self.running):
            return StepPlan(self._drafted_spans(decoding))
        spans = [_span(s, 1) for s in decoding]
        return StepPlan(spans + self._prefill_spans(self._prefill_budget(len(decoding))))

    def commit(self, plan: StepPlan, *, started: float) -> None:
        """The step was computed: its rows now have their cells."""
        for span in plan.spans:
            span.sequence.num_computed = span.start + span.count
            if span.sequence.scheduled is None:
                span.sequence.scheduled = started

    def settle_draft(self, span: Span, num_accepted: int) -> None:
        """So many of the span's drafted tokens were right; the cells of the others are taken back."""
        num_drafted = len(span.draft)
        if num_drafted:
            self._drafter.observe(span.sequence, num_drafted=num_drafted, num_accepted=num_accepted)
        if num_accepted < num_drafted:
            span.sequence.num_computed -= num_drafted - num_accepted
            self.ledger.shrink(span.sequence.running_id, span.sequence.num_computed)

    def undo(self, plan: StepPlan) -> None:
        """The step was aborted: every sequence in it is as before."""
        for span in plan.spans:
            self.ledger.shrink(span.sequence.running_id, span.start)

    def finish(self, sequence: Sequence) -> None:
        """Take a sequence out, waiting or running; cells that it computed are held for its next turn."""
        if sequence.state is SequenceState.RUNNING:
            self.running.remove(sequence)
            self.ledger.hold(sequence.running_id, sequence.tokens[: sequence.num_computed])
        elif sequence.state is SequenceState.WAITING:
            self.waiting.remove(sequence)
        sequence.state = SequenceState.FINISHED
        self._drafter.forget(sequence)

    def give_room(self) -> bool:
        """llama.cpp found no room although the ledger counted some: free what can be freed. False: nothing can."""
        if self.ledger.evict_all():
            return True
        if len(self.running) < 2:
            return False
        self._preempt_newest()
        return True

    def _live(self) -> Iterable[Sequence]:
        yield from self.running
        yield from self.waiting

    def _admit(self) -> None:
        while len(self.running) < self._max_sequences and (sequence := self._next_that_fits()) is not None:
            self.waiting.remove(sequence)
            lease = self.ledger.lease(sequence.tokens)
            sequence.seq_id = lease.seq_id
            sequence.num_computed = lease.num_hit
            sequence.num_hit = lease.num_hit
            sequence.num_hit_on_disk = lease.num_from_disk
            sequence.num_shared = lease.num_shared
            sequence.state = SequenceState.RUNNING
            self.running.append(sequence)
            self._admitted.append(sequence)

    def _next_that_fits(self) -> Sequence | None:
        """The first that fits; a long one that must wait for cells is overtaken by short ones, though not for ever.

        One whose prefix is being computed for another waits for it, in nobody's way.
        """
        overtaken: list[Sequence] = []
        for sequence in self.waiting:
            if self.ledger.is_coming(sequence.tokens):
                continue
            if self._fits(sequence):
                for passed in overtaken:
                    passed.num_overtaken += 1
                return sequence
            if sequence.num_overtaken >= MAX_OVERTAKEN:
                return None
            overtaken.append(sequence)
        return None

    def _fits(self, sequence: Sequence) -> bool:
        """Whether every running prompt and this one fit whole, with a token more for each."""
        if not self.running:
            return True
        reserved = self.ledger.num_used + sum(s.num_uncomputed + 1 for s in self.running)
        excess = reserved + len(sequence.tokens) + 1 - self.ledger.capacity
        return excess <= 0 or excess <= self.ledger.num_running_shared(sequence.tokens)

    def _preempt_until_room(self) -> None:
        """Send the newest back to wait until each decoding sequence, and one prefill row, have a cell."""
        while len(self.running) > 1 and self._num_cells_wanted() > self.ledger.num_available:
            self._preempt_newest()

    def _num_cells_wanted(self) -> int:
        num_decoding = sum(s.is_decoding for s in self.running)
        return num_decoding + (num_decoding < len(self.running))

    def _preempt_newest(self) -> None:
        newest = max(self.running, key=lambda s: s.id)
        self.running.remove(newest)
        self.ledger.release(newest.running_id)
        newest.seq_id = None
        newest.num_computed = 0
        newest.state = SequenceState.WAITING
        self.waiting.appendleft(newest)

    def _prefill_budget(self, num_decode_rows: int) -> int:
        seconds = self._step_seconds(num_decode_rows, len(self.running) - num_decode_rows)
        num_rows = self._costs.rows_within(seconds, max_rows=self._max_batch_tokens)
        return min(max(num_rows - num_decode_rows, MIN_PREFILL_ROWS), self._max_batch_tokens - num_decode_rows)

    def _step_seconds(self, num_decoding: int, num_prefilling: int) -> float:
        """How long a step may take: for who is being answered it is a gap, for who waits for a first token it is work.

        So the target holds while most are being answered; the more of them wait, the longer the few may be kept
        waiting: large steps cost less a row, and the whole burst is answered sooner.
        """
        if num_decoding == 0:
            return self._max_step_seconds
        stretched = self._target_inter_token_seconds * max(1.0, num_prefilling / num_decoding)
        return min(stretched, self._max_step_seconds)

    def _drafted_spans(self, decoding: list[Sequence]) -> list[Span]:
        """A row for each answer and its draft, whose cells must be free: nobody gives way to a guess."""
        room = min(self.ledger.num_free, self._max_batch_tokens - len(decoding))
        drafts = self._drafter.drafts(decoding, max_rows=room)
        spans = []
        for sequence in decoding:
            draft = tuple(drafts.get(sequence.id, ()))
            self.ledger.grow(sequence.running_id, len(draft))
            spans.append(replace(_span(sequence, 1), count=1 + len(draft), draft=draft))
        return spans

    def _prefill_spans(self, budget: int) -> list[Span]:
        """Spans of at most `budget` rows: a quarter for the oldest prompt, the rest for those who need the least.

        A short question is so not stuck behind a long document, and the document gets on.
        """
        prefilling = [s for s in self.running if not s.is_decoding]
        shares = [(prefilling[0], max(1, budget // OLDEST_SHARE))]
        shares += [(s, budget) for s in sorted(prefilling, key=lambda s: s.num_uncomputed)]
        counts = dict.fromkeys(prefilling, 0)
        for sequence, share in shares:
            count = min(share, budget, sequence.num_uncomputed - counts[sequence], self.ledger.num_available)
            if count > 0:
                self.ledger.grow(sequence.running_id, count)
                counts[sequence] += count
                budget -= count
        return [_span(sequence, count) for sequence, count in counts.items() if count]
