"""Builds the engine from its settings: model, context, intake thread, step loop; says Ready, or why not.

The main thread of the engine process runs this from the first frame to the last.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from queue import SimpleQueue

from edge_agent.engine.channel import Outlet, read_commands
from edge_agent.engine.chat_template import CHATML, ChatTemplate, TemplateRefusedError
from edge_agent.engine.composition import make_loop, num_sequence_ids
from edge_agent.engine.inbox import InboxItem
from edge_agent.engine.intake import Intake
from edge_agent.engine.llama import LlamaError, use_default_log
from edge_agent.engine.llama_context import LlamaContext
from edge_agent.engine.llama_model import LlamaModel
from edge_agent.llama_cpp_version import llama_cpp_version
from edge_agent.protocol import EngineSettings, Load, LoadFailed, LoadProgress, ModelFacts, Ready

# The intake may hold the interpreter while it renders; the step loop then gets it back within a millisecond.
SWITCH_SECONDS = 0.001
PROGRESS_PART = 0.05
# llama.cpp splits text by recursion for some vocabularies: 340 bytes of stack for a character of an unbroken word, so
# that the usual 8 MiB end the process at 25,000 letters. 512 MiB hold the longest text that is tokenised at all.
INTAKE_STACK_BYTES = 512 * 1024 * 1024


def run_engine(commands_socket: socket.socket, reports_socket: socket.socket) -> int:
    """Load, serve, end; returns the exit status."""
    sys.setswitchinterval(SWITCH_SECONDS)
    commands = read_commands(commands_socket)
    reports = Outlet(reports_socket)
    load = next(commands, None)
    if not isinstance(load, Load):
        raise ValueError(f"expected Load first, got {type(load).__name__}")
    started = time.monotonic()
    try:
        model, context = _load(load.settings, reports)
    except LlamaError as error:
        reports.send(LoadFailed(str(error)))
        return 1
    inbox: SimpleQueue[InboxItem] = SimpleQueue()
    loop, disk = make_loop(load.settings, model, context, inbox, reports)
    intake = Intake(
        model=model,
        template=_make_template(model),
        context_length=_request_context_length(model, context),
        answers=Outlet(commands_socket),
        inbox=inbox,
        interrupt=loop.interrupt,
    )
    reports.send(Ready(_facts(load.settings, model, context, time.monotonic() - started)))
    # Virtual memory: only what a recursion really needs is ever touched.
    threading.stack_size(INTAKE_STACK_BYTES)
    threading.Thread(target=intake.serve, args=(commands,), name="intake", daemon=True).start()
    loop.run()
    disk.close()
    return 0


def _load(settings: EngineSettings, reports: Outlet) -> tuple[LlamaModel, LlamaContext]:
    use_default_log()
    model = LlamaModel(
        settings.model_path,
        num_gpu_layers=settings.num_gpu_layers,
        mmap=settings.mmap,
        mlock=settings.mlock,
        repack=settings.repack,
        on_progress=_ProgressReporter(reports),
    )
    context = LlamaContext(
        model,
        context_length=settings.context_length,
        num_sequence_ids=num_sequence_ids(settings),
        max_batch_tokens=settings.max_batch_tokens,
        max_outputs=settings.max_sequences + settings.max_draft_tokens,
        kv_cache_type=settings.kv_cache_type,
        flash_attention=settings.flash_attention,
        micro_batch_tokens=settings.micro_batch_tokens,
        num_threads=settings.num_threads,
        num_threads_batch=settings.num_threads_batch,
    )
    return model, context


class _ProgressReporter:
    """Passes on every twentieth of the way: llama.cpp reports each tensor."""

    def __init__(self, reports: Outlet) -> None:
        self._reports = reports
        self._next = 0.0

    def __call__(self, fraction: float) -> None:
        if fraction >= self._next:
            self._next = fraction + PROGRESS_PART
            self._reports.send(LoadProgress(fraction))


def _make_template(model: LlamaModel) -> ChatTemplate | TemplateRefusedError:
    """The model's own template, ChatML where it has none; one that cannot be used is refused request by request."""
    try:
        return ChatTemplate(model.chat_template or CHATML, bos_text=model.bos_text, eos_text=model.eos_text)
    except TemplateRefusedError as error:
        return error


def _request_context_length(model: LlamaModel, context: LlamaContext) -> int:
    return min(context.num_cells, model.trained_context_length)


def _facts(settings: EngineSettings, model: LlamaModel, context: LlamaContext, load_seconds: float) -> ModelFacts:
    return ModelFacts(
        architecture=model.architecture,
        quantization=model.quantization,
        num_parameters=model.num_parameters,
        size_bytes=model.size_bytes,
        context_length=_request_context_length(model, context),
        trained_context_length=model.trained_context_length,
        kv_cells=context.num_cells,
        vocabulary_size=model.num_tokens,
        max_batch_tokens=settings.max_batch_tokens,
        num_gpu_layers=model.num_layers_on_gpu(settings.num_gpu_layers),
        load_seconds=load_seconds,
        llama_cpp_version=llama_cpp_version(),
    )
