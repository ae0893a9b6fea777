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
from edge_agent.engine.channel import Outlet
from edge_agent.engine.inbox import CancelSequence, InboxItem, NewSequence, StopLoop
from edge_agent.engine.kv_ledger import Forget, Load, Operation, Save, Trim
from edge_agent.engine.llama import LlamaError
from edge_agent.engine.llama_context import DecodeResult, LlamaContext
from edge_agent.engine.process_usage import UsageMeter
from edge_agent.engine.scheduler import Scheduler, Span, StepPlan
from edge_agent.engine.step_costs import StepCosts
from edge_agent.protocol import FinishReason, Idle, Report, SequenceReport

# With nothing to compute, the loop says once a second that it lives.
IDLE_SECONDS = 1.0


class StepLoop:
    """Owns the context and all live sequences."""

    def __init__(
        self,
        *,
        context: LlamaContext,
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
        self._scheduler = scheduler
        self._costs = costs
        self._make_answer = make_answer
        self._inbox = inbox
        self._reports = reports
        self._usage = usage
        self._may_abort = may_abort
        self._clock = clock
        self._answers: dict[int, Answer] = {}
        # Cells of finished conversations by the ledger's key.
        self._saved: dict[int, bytes] = {}
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
        while not self._answers and not self._is_stopping:
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
                self._scheduler.submit(item.sequence)
            case CancelSequence():
                if item.request_id in self._answers:
                    self._finish(self._answers[item.request_id], FinishReason.CANCELLED)
            case StopLoop():
                self._is_stopping = True
            case _:
                assert_never(item)

    # --- decode --------------------------------------------------------------------------------------------------

    def _decode(self, plan: StepPlan) -> DecodeResult:
        self._carry_out(self._scheduler.ledger.take_operations())
        self._context.clear_rows()
        for span in plan.spans:
            tokens = span.sequence.tokens[span.start : span.start + span.count]
            self._context.add_rows(span.sequence.running_id, span.start, tokens, wants_logits=span.wants_logits)
        self._prefilling = frozenset(span.sequence.id for span in plan.spans if not span.is_decode)
        if self._prefilling and self._may_abort and not self._inbox.empty():
            # A cancellation that came after the plan was made may have found nothing to interrupt.
            self._context.request_abort()
        result = self._context.decode()
        self._prefilling = frozenset()
        return result

    def _carry_out(self, operations: list[Operation]) -> None:
        for operation in operations:
            match operation:
                case Trim(seq_id, num_kept):
                    self._context.trim(seq_id, num_kept)
                case Save(seq_id, key):
                    self._saved[key] = self._context.save(seq_id)
                case Load(key, seq_id):
                    self._context.load(seq_id, self._saved.pop(key))
                case Forget(key):
                    del self._saved[key]
                case _:
                    assert_never(operation)

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
            answer = self._answers[span.sequence.id]
            if answer.finish_reason is not None:
                self._finish(answer, answer.finish_reason)

    def _sample(self, plan: StepPlan, ended: float) -> Iterator[SequenceReport]:
        num_rows = 0
        for span in plan.spans:
            num_rows += span.count
            yield self._sample_span(span, num_rows - 1, ended)

    def _sample_span(self, span: Span, last_row: int, ended: float) -> SequenceReport:
        answer = self._answers[span.sequence.id]
        prompt = span.sequence.count_prompt()
        if not span.wants_logits:
            return answer.report_prefill(prompt)
        return answer.report_token(self._context.logits(last_row), prompt, at=ended)

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
