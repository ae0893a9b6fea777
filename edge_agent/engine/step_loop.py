"""The engine's heart: admit, schedule, decode, sample, report, again and again. Alone in touching the context.

Runs on the main thread of the engine process. What a step holds is the scheduler's decision, what llama.cpp is called
with is `llama`'s business; this module puts them in order.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import assert_never

from edge_agent.engine.answer import Answer
from edge_agent.engine.cell_store import CellStore
from edge_agent.engine.channel import Outlet
from edge_agent.engine.inbox import CancelSequence, InboxItem, NewPin, NewSequence, PrefixWritten, StopLoop
from edge_agent.engine.llama import LlamaError
from edge_agent.engine.llama_context import DecodeResult, LlamaContext
from edge_agent.engine.pins import Pins
from edge_agent.engine.process_usage import UsageMeter
from edge_agent.engine.scheduler import Scheduler, Span, StepPlan
from edge_agent.engine.sequence import Sequence
from edge_agent.engine.step_costs import StepCosts
from edge_agent.protocol import DropPrefix, FinishReason, Idle, ListPrefixes, Report, SequenceReport

# With nothing to compute, the loop says once a second that it lives.
IDLE_SECONDS = 1.0


class StepLoop:
    """Owns the context and all live sequences."""

    def __init__(
        self,
        *,
        context: LlamaContext,
        cells: CellStore,
        pins: Pins,
        scheduler: Scheduler,
        costs: StepCosts,
        make_answer: Callable[[NewSequence], Answer],
        inbox: SimpleQueue[InboxItem],
        reports: Outlet,
        usage: UsageMeter,
        may_abort: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._context = context
        self._cells = cells
        self._pins = pins
        self._scheduler = scheduler
        self._costs = costs
        self._make_answer = make_answer
        self._inbox = inbox
        self._reports = reports
        self._usage = usage
        self._may_abort = may_abort
        self._clock = clock
        self._answers: dict[int, Answer] = {}
        # Requests with prompt rows in the step that runs now; replaced whole, read by the intake.
        self._prefilling: frozenset[int] = frozenset()
        self._is_stopping = False

    def run(self) -> None:
        """Step until told to stop."""
        while True:
            self._take_inbox()
            if self._is_stopping:
                return
            plan = self._scheduler.plan()
            if plan is None:
                continue
            started = self._clock()
            result = self._decode(plan)
            if result is DecodeResult.DONE:
                self._conclude(plan, started=started, ended=self._clock())
            else:
                self._take_back(plan, result)

    def interrupt(self, request_id: int) -> None:
        """Called by the intake after it queued a cancellation: end a long step early if the request is in it.

        A step that only decodes is left to end by itself: it gives everyone a token.
        """
        if self._may_abort and request_id in self._prefilling:
            self._context.request_abort()

    # --- admit ---------------------------------------------------------------------------------------------------

    def _take_inbox(self) -> None:
        """Take what the intake queued; with no live sequence wait for it, ticking."""
        self._context.clear_abort()
        while self._scheduler.is_idle and not self._is_stopping:
            try:
                self._take(self._inbox.get(timeout=IDLE_SECONDS))
            except queue.Empty:
                self._reports.send(Idle(self._clock(), self._scheduler.ledger.cells, self._usage.read()))
        while not self._inbox.empty():
            self._take(self._inbox.get())

    def _take(self, item: InboxItem) -> None:
        match item:
            case NewSequence():
                self._answers[item.sequence.id] = self._make_answer(item)
                self._submit(item.sequence)
            case NewPin():
                sequence = self._pins.begin(item)
                if sequence is not None:
                    self._submit(sequence)
            case ListPrefixes() | DropPrefix() | PrefixWritten():
                self._pins.take(item)
            case CancelSequence():
                self._cancel(item.request_id)
            case StopLoop():
                self._is_stopping = True
            case _:
                assert_never(item)

    def _submit(self, sequence: Sequence) -> None:
        self._cells.read_ahead(sequence.tokens)
        self._scheduler.submit(sequence)

    def _cancel(self, request_id: int) -> None:
        if request_id in self._answers:
            self._finish(self._answers[request_id], FinishReason.CANCELLED)
        sequence = self._scheduler.find(request_id)
        if sequence is not None:
            self._scheduler.finish(sequence)
            self._pins.give_up(request_id, "the request was cancelled")

    # --- decode --------------------------------------------------------------------------------------------------

    def _decode(self, plan: StepPlan) -> DecodeResult:
        self._cells.carry_out(self._scheduler.ledger.take_operations())
        self._cells.write_returning(self._scheduler.take_admitted())
        self._context.clear_rows()
        for span in plan.spans:
            num_outputs = 1 + len(span.draft) if span.wants_logits else 0
            self._context.add_rows(span.sequence.running_id, span.start, span.tokens, num_outputs=num_outputs)
        self._prefilling = frozenset(span.sequence.id for span in plan.spans if not span.is_decode)
        if self._prefilling and self._may_abort and not self._inbox.empty():
            # A cancellation that came after the plan was made may have found nothing to interrupt.
            self._context.request_abort()
        result = self._context.decode()
        self._prefilling = frozenset()
        return result

    def _take_back(self, plan: StepPlan, result: DecodeResult) -> None:
        """An aborted step never was; one without room is tried again after something made room."""
        self._scheduler.undo(plan)
        if result is DecodeResult.NO_ROOM and not self._scheduler.give_room():
            raise LlamaError(f"no room for {plan.num_rows} rows in an otherwise empty KV cache")

    # --- sample, report ------------------------------------------------------------------------------------------

    def _conclude(self, plan: StepPlan, *, started: float, ended: float) -> None:
        self._costs.observe(plan.num_rows, ended - started)
        self._scheduler.commit(plan, started=started)
        sequences = list(self._sample(plan, ended))
        self._reports.send(self._report(plan, sequences, started=started, ended=ended))
        for span in plan.spans:
            answer = self._answers.get(span.sequence.id)
            if answer is None:
                self._conclude_pin(span)
            elif answer.finish_reason is not None:
                self._finish(answer, answer.finish_reason)

    def _conclude_pin(self, span: Span) -> None:
        """A prefix that is wanted on disk is taken there once all its tokens are computed."""
        sequence = span.sequence
        if span.wants_logits:
            state = self._context.save(sequence.running_id, 0, sequence.num_computed)
            self._scheduler.finish(sequence)
            self._pins.computed(sequence.id, state)

    def _sample(self, plan: StepPlan, ended: float) -> Iterator[SequenceReport]:
        num_rows = 0
        for span in plan.spans:
            num_rows += span.count
            yield self._sample_span(span, num_rows - 1, ended)

    def _sample_span(self, span: Span, last_row: int, ended: float) -> SequenceReport:
        answer = self._answers.get(span.sequence.id)
        prompt = span.sequence.count_prompt()
        if answer is None or not span.wants_logits:
            return SequenceReport(span.sequence.id, prompt=prompt)
        rows = map(self._context.logits, range(last_row - len(span.draft), last_row + 1))
        report = answer.report_tokens(rows, span.draft, prompt, at=ended)
        self._scheduler.settle_draft(span, report.num_accepted)
        return report

    def _report(self, plan: StepPlan, sequences: list[SequenceReport], *, started: float, ended: float) -> Report:
        prefix = self._scheduler.ledger.take_counts()
        return Report(
            started=started,
            ended=ended,
            num_prefill_rows=plan.num_prefill_rows,
            num_decode_rows=plan.num_decode_rows,
            kv=self._scheduler.ledger.cells,
            num_running=len(self._scheduler.running),
            num_waiting=len(self._scheduler.waiting),
            sequences=sequences,
            num_prefix_queried=prefix.num_queried,
            num_prefix_hit=prefix.num_hit,
            num_prefix_evicted=prefix.num_evicted,
            usage=self._usage.read_when_due(ended),
        )

    def _finish(self, answer: Answer, reason: FinishReason) -> None:
        self._scheduler.finish(answer.sequence)
        del self._answers[answer.sequence.id]
        self._reports.send(answer.finished(reason, at=self._clock()))
