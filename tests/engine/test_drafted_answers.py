"""Drafts, right and wrong ones and of any length, change no answer: the real step loop and models, scripted drafts.

What the engine drafts by itself depends on what steps cost on a machine; here a script says what is drafted.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

import pytest

from edge_agent.engine.answer import Answer
from edge_agent.engine.cell_store import CellStore
from edge_agent.engine.channel import Outlet
from edge_agent.engine.disk_prefixes import DiskPrefixes
from edge_agent.engine.inbox import InboxItem, NewSequence, StopLoop
from edge_agent.engine.kv_ledger import KvLedger
from edge_agent.engine.llama_context import LlamaContext
from edge_agent.engine.llama_model import LlamaModel
from edge_agent.engine.native_samplers import Candidates
from edge_agent.engine.pins import Pins
from edge_agent.engine.prefix_file import PrefixIdentity
from edge_agent.engine.process_usage import UsageMeter
from edge_agent.engine.sampling import make_sampler
from edge_agent.engine.scheduler import Drafter, Scheduler
from edge_agent.engine.sequence import Sequence
from edge_agent.engine.step_costs import StepCosts
from edge_agent.engine.step_loop import StepLoop
from edge_agent.protocol import Finished, FinishReason, Message, Report, SamplingSettings, Submit, TokenPrompt

from .told import Told, assert_equal_but_near_ties

NUM_TOKENS = 32
MAX_SEQUENCES = 4
MAX_DRAFT_TOKENS = 12


class NoDrafts:
    def drafts(self, decoding: list[Sequence], *, max_rows: int) -> dict[int, list[int]]:
        return {}

    def observe(self, sequence: Sequence, *, num_drafted: int, num_accepted: int) -> None:
        raise AssertionError("nothing was drafted")

    def forget(self, sequence: Sequence) -> None:
        pass


@dataclass
class ScriptedDrafts(NoDrafts):
    """Some tokens of an answer that is known, then some that are wrong; both numbers are random, and may be 0."""

    answers: dict[int, list[int]]
    generator: random.Random
    num_accepted: int = 0
    num_refused: int = 0
    forgotten: set[int] = field(default_factory=set)

    def drafts(self, decoding: list[Sequence], *, max_rows: int) -> dict[int, list[int]]:
        drafts = {}
        for sequence in decoding:
            num_right, num_wrong = self.generator.randint(0, 8), self.generator.choice([0, 0, 1, 4])
            right = self.answers[sequence.id][sequence.num_generated :][:num_right]
            draft = [*right, *(self.generator.randrange(100, 20_000) for _ in range(num_wrong))]
            # As the engine's own: not beyond the answer's last token but one.
            draft = draft[: min(max_rows, MAX_DRAFT_TOKENS, NUM_TOKENS - sequence.num_generated - 1)]
            max_rows -= len(draft)
            if draft:
                drafts[sequence.id] = draft
        return drafts

    def observe(self, sequence: Sequence, *, num_drafted: int, num_accepted: int) -> None:
        self.num_accepted += num_accepted
        self.num_refused += num_drafted > num_accepted

    def forget(self, sequence: Sequence) -> None:
        self.forgotten.add(sequence.id)


class Recorder(Outlet):
    """Keeps what the loop says, and stops it once everyone is done."""

    def __init__(self, inbox: SimpleQueue[InboxItem], num_requests: int) -> None:
        self.messages: list[Message] = []
        self._inbox = inbox
        self._num_open = num_requests

    def send(self, message: Message) -> None:
        self.messages.append(message)
        self._num_open -= isinstance(message, Finished)
        if self._num_open == 0:
            self._inbox.put(StopLoop())

    def told(self, request_id: int) -> Told:
        reports = [s for m in self.messages if isinstance(m, Report) for s in m.sequences if s.id == request_id]
        entries = [entry for report in reports for entry in report.logprobs or []]
        finished = next(m for m in self.messages if isinstance(m, Finished) and m.id == request_id)
        return Told(
            [token for report in reports for token in report.tokens],
            [entry.chosen.logprob for entry in entries],
            [entry.top[0].logprob - entry.top[1].logprob for entry in entries],
            finished,
        )


@pytest.fixture(scope="module")
def model(smollm2_path: Path) -> Iterator[LlamaModel]:
    model = LlamaModel(
        str(smollm2_path), num_gpu_layers=0, mmap=True, mlock=False, repack=True, on_progress=lambda _: None
    )
    yield model
    model.close()


@pytest.fixture
def context(model: LlamaModel) -> Iterator[LlamaContext]:
    context = LlamaContext(
        model,
        context_length=1024,
        num_sequence_ids=2 * MAX_SEQUENCES,
        max_batch_tokens=64,
        max_outputs=MAX_SEQUENCES * (1 + MAX_DRAFT_TOKENS),
        kv_cache_type="q8_0",
        flash_attention=True,
        micro_batch_tokens=64,
        num_threads=2,
        num_threads_batch=2,
    )
    yield context
    context.close()


def run_loop(
    model: LlamaModel, context: LlamaContext, drafter: Drafter, prompts: list[list[int]], sampling: SamplingSettings
) -> Recorder:
    """Answer the prompts with ids 0, 1, … all at once, and empty the cells afterwards."""
    inbox: SimpleQueue[InboxItem] = SimpleQueue()
    reports = Recorder(inbox, len(prompts))
    ledger = KvLedger(
        capacity=context.num_cells, num_sequence_ids=2 * MAX_SEQUENCES, is_trimmable=True, max_saved_tokens=0
    )
    disk = DiskPrefixes(
        Path(), PrefixIdentity("", "q8_0", True, "0"), max_bytes=0, is_trimmable=True, on_written=lambda _: None
    )
    cells = CellStore(context, ledger, disk)
    costs = StepCosts()
    scheduler = Scheduler(
        ledger=ledger,
        costs=costs,
        drafter=drafter,
        max_sequences=MAX_SEQUENCES,
        max_batch_tokens=64,
        max_step_seconds=60.0,
        target_inter_token_seconds=60.0,
    )
    candidates = Candidates(model.num_tokens)

    def make_answer(item: NewSequence) -> Answer:
        sampler = make_sampler(
            sampling, model=model, candidates=candidates, prompt=item.sequence.tokens, ignore_eos=True
        )
        return Answer(item.sequence, item.request, sampler, model)

    for number, prompt in enumerate(prompts):
        request = Submit(number, TokenPrompt(prompt), 0.0, sampling, max_tokens=NUM_TOKENS, num_logprobs=2)
        inbox.put(NewSequence(Sequence(number, list(prompt), NUM_TOKENS, 0.0, 0.0), request))
    StepLoop(
        context=context,
        cells=cells,
        pins=Pins(disk, send=reports.send, bytes_a_token=1),
        scheduler=scheduler,
        costs=costs,
        make_answer=make_answer,
        inbox=inbox,
        reports=reports,
        usage=UsageMeter(),
        may_abort=True,
    ).run()
    assert ledger.num_used == 0
    ledger.evict_all()
    cells.carry_out(ledger.take_operations())
    return reports


def some_prompts(model: LlamaModel, num_prompts: int) -> list[list[int]]:
    text = (Path(__file__).parents[2] / "LICENSE").read_text(encoding="utf-8")
    tokens = model.tokenize(text, add_special=False, parse_special=False)
    return [tokens[200 * number : 200 * number + 60] for number in range(num_prompts)]


SAMPLINGS = {
    "greedy": SamplingSettings(temperature=0),
    "penalties": SamplingSettings(temperature=0, repeat_penalty=1.2, presence_penalty=0.5),
    # One random number a token, drafted or not: a seed tells the same.
    "seeded": SamplingSettings(temperature=0.7, top_k=0, seed=11),
    "both": SamplingSettings(temperature=0.7, top_p=0.9, frequency_penalty=0.3, seed=12),
}


@pytest.mark.parametrize("num_prompts", [1, MAX_SEQUENCES])
@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS.keys())
def test_drafted_answers_equal_undrafted_ones(
    model: LlamaModel, context: LlamaContext, sampling: SamplingSettings, num_prompts: int
) -> None:
    prompts = some_prompts(model, num_prompts)
    undrafted = run_loop(model, context, NoDrafts(), prompts, sampling)
    expected = [undrafted.told(number) for number in range(num_prompts)]
    assert all(len(told.tokens) == NUM_TOKENS for told in expected)

    script = ScriptedDrafts({n: told.tokens for n, told in enumerate(expected)}, random.Random(5))
    drafted = run_loop(model, context, script, prompts, sampling)

    told = [drafted.told(number) for number in range(num_prompts)]
    assert script.num_accepted >= 8 * num_prompts
    assert script.num_refused >= num_prompts
    assert script.forgotten == set(range(num_prompts))
    assert sum(t.finished.num_accepted for t in told) == script.num_accepted
    assert_equal_but_near_ties(told, expected)


def test_a_draft_that_goes_beyond_the_end_of_an_answer_is_cut_there(model: LlamaModel, context: LlamaContext) -> None:
    """The answer ends with a token that was drafted, and what was drafted behind it is not told."""
    greedy = SAMPLINGS["greedy"]
    prompts = some_prompts(model, 1)
    [told] = [run_loop(model, context, NoDrafts(), prompts, greedy).told(0)]
    script = ScriptedDrafts({0: [*told.tokens, 5, 5, 5]}, random.Random(6))
    drafted = run_loop(model, context, script, prompts, greedy).told(0)
    assert drafted.finished.reason is FinishReason.LENGTH
    assert drafted.finished.num_generated_tokens == len(drafted.tokens) == NUM_TOKENS
