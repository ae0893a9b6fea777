"""Puts the step loop together: ledger, scheduler, drafts, cells outside the cache, pins. Runs once, after the load."""

from __future__ import annotations

from pathlib import Path
from queue import SimpleQueue

from edge_agent.engine.answer import Answer
from edge_agent.engine.cell_store import CellStore
from edge_agent.engine.channel import Outlet
from edge_agent.engine.disk_prefixes import DiskPrefixes
from edge_agent.engine.drafter import Drafter
from edge_agent.engine.inbox import InboxItem, NewSequence, PrefixWritten
from edge_agent.engine.kv_ledger import KvLedger
from edge_agent.engine.llama_context import LlamaContext
from edge_agent.engine.llama_model import LlamaModel
from edge_agent.engine.native_samplers import Candidates
from edge_agent.engine.pins import Pins
from edge_agent.engine.prefix_file import PrefixIdentity
from edge_agent.engine.process_usage import UsageMeter
from edge_agent.engine.sampling import make_sampler
from edge_agent.engine.scheduler import Scheduler
from edge_agent.engine.step_costs import StepCosts
from edge_agent.engine.step_loop import StepLoop
from edge_agent.engine.warm_up import warm_up
from edge_agent.llama_cpp_version import llama_cpp_version
from edge_agent.protocol import EngineSettings


def num_sequence_ids(settings: EngineSettings) -> int:
    """As many again as run at once may be held for their next turn."""
    return 2 * settings.max_sequences


def make_loop(
    settings: EngineSettings,
    model: LlamaModel,
    context: LlamaContext,
    inbox: SimpleQueue[InboxItem],
    reports: Outlet,
) -> tuple[StepLoop, DiskPrefixes]:
    """The loop, warmed up, and the prefixes on disk, to be closed after it."""
    costs = StepCosts()
    warm_up(context, costs)
    bytes_a_cell = context.bytes_a_cell()
    ledger = KvLedger(
        capacity=context.num_cells,
        num_sequence_ids=num_sequence_ids(settings),
        is_trimmable=context.is_trimmable,
        # A state is as large for one token as for all: its size says nothing of a token's, so it stays put.
        max_saved_tokens=settings.max_saved_prefix_bytes // bytes_a_cell if context.is_trimmable else 0,
    )
    disk = _disk_prefixes(settings, context, inbox)
    loop = StepLoop(
        context=context,
        cells=CellStore(context, ledger, disk),
        pins=Pins(disk, send=reports.send, bytes_a_token=bytes_a_cell),
        scheduler=_scheduler(settings, model, context, ledger, costs),
        costs=costs,
        make_answer=_AnswerMaker(model),
        inbox=inbox,
        reports=reports,
        usage=UsageMeter(),
        may_abort=context.is_trimmable,
    )
    return loop, disk


def _scheduler(
    settings: EngineSettings, model: LlamaModel, context: LlamaContext, ledger: KvLedger, costs: StepCosts
) -> Scheduler:
    # A wrong guess has to be taken back.
    max_draft_tokens = settings.max_draft_tokens if context.is_trimmable else 0
    return Scheduler(
        ledger=ledger,
        costs=costs,
        drafter=Drafter(costs=costs, max_tokens=max_draft_tokens, end_tokens=model.end_tokens),
        max_sequences=settings.max_sequences,
        max_batch_tokens=settings.max_batch_tokens,
        max_step_seconds=settings.max_step_seconds,
        target_inter_token_seconds=settings.target_inter_token_seconds,
    )


def _disk_prefixes(settings: EngineSettings, context: LlamaContext, inbox: SimpleQueue[InboxItem]) -> DiskPrefixes:
    identity = PrefixIdentity(
        settings.model_digest,
        settings.kv_cache_type,
        settings.flash_attention,
        llama_cpp_version(),
    )
    return DiskPrefixes(
        Path(settings.prefix_folder),
        identity,
        max_bytes=settings.max_disk_prefix_bytes,
        is_trimmable=context.is_trimmable,
        on_written=lambda written: inbox.put(PrefixWritten(written)),
    )


class _AnswerMaker:
    """Answers share one array of candidates, which samplers sort and cut in turn."""

    def __init__(self, model: LlamaModel) -> None:
        self._model = model
        self._candidates = Candidates(model.num_tokens)

    def __call__(self, item: NewSequence) -> Answer:
        sampler = make_sampler(
            item.request.sampling,
            model=self._model,
            candidates=self._candidates,
            prompt=item.sequence.tokens,
            ignore_eos=item.request.ignore_eos,
        )
        return Answer(item.sequence, item.request, sampler, self._model)
