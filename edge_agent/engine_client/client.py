"""The engine as the rest of the agent sees it: start it, ask it, read how it is. Everything runs on the event loop.

How the engine is spawned, watched and restarted is the supervisor's; what an answer contains, the consumer's.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from edge_agent.disk_prefix import DiskPrefix
from edge_agent.engine_client.engine_run import EngineLaunch, EngineRun
from edge_agent.engine_client.generation import Generation
from edge_agent.engine_client.listener import EngineListener, EngineState
from edge_agent.engine_client.listener_fence import ListenerFence
from edge_agent.engine_client.open_requests import OpenRequests
from edge_agent.engine_client.pending_answers import AnswerT
from edge_agent.engine_client.prefix_calls import PrefixCalls
from edge_agent.engine_client.request import GenerationRequest
from edge_agent.engine_client.retry_after import (
    LOAD_FAILED_SECONDS,
    QUEUE_FULL_SECONDS,
    STOPPED_SECONDS,
    retry_after_load,
)
from edge_agent.engine_client.supervisor import Supervisor
from edge_agent.engine_client.watch_limits import DEFAULT_LIMITS, WatchLimits
from edge_agent.errors import (
    ContextLengthError,
    EdgeAgentError,
    EngineUnavailableError,
    InvalidRequestError,
    PrefixNotFoundError,
    PrefixStorageError,
    QueueFullError,
)
from edge_agent.frames import FRAME_HEADER, MAX_FRAME_BYTES, encode_frame
from edge_agent.protocol import (
    Accepted,
    Cancel,
    Detokenize,
    Detokenized,
    DropPrefix,
    EngineSettings,
    ListPrefixes,
    Message,
    ModelFacts,
    PinPrefix,
    Prefixes,
    Prompt,
    RefusalKind,
    Refused,
    Submit,
    Tokenize,
    Tokenized,
)

# Tokenize and detokenize commands that may wait beside the requests: their texts are held while the intake is busy.
MAX_CONVERSIONS = 32


class PinnedPrefix(NamedTuple):
    """A prefix that is on disk until it is dropped; `is_new`: it was not there before."""

    prefix: DiskPrefix
    is_new: bool


def nothing() -> None:
    """A check that always passes."""


class EngineClient:
    """One engine process at a time, restarted when it ends unasked.

    `queue_size` requests may wait beside `settings.max_sequences` running ones. `check_file` is called once, on a
    thread, before the first spawn, and raises ModelFileError for a file that must not be loaded. `environ` is the
    engine's environment (GGML_NO_BACKTRACE is added); None inherits the agent's as it is. With `fallback`, a model that
    cannot be loaded with `settings` is loaded with those.
    """

    def __init__(
        self,
        settings: EngineSettings,
        *,
        listener: EngineListener,
        queue_size: int,
        check_file: Callable[[], None] = nothing,
        command: Sequence[str] = (sys.executable, "-m", "edge_agent.engine"),
        environ: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
        limits: WatchLimits = DEFAULT_LIMITS,
        filesystem_root: Path = Path("/"),
        fallback: EngineSettings | None = None,
    ) -> None:
        fence = ListenerFence(listener)
        self._capacity = settings.max_sequences + queue_size
        self._clock = clock
        self._ids = itertools.count(1)
        self._requests = OpenRequests(fence)
        self._prefix_calls = PrefixCalls()
        self._supervisor = Supervisor(
            EngineLaunch(settings=settings, command=command, environ=environ, limits=limits),
            listener=fence,
            requests=self._requests,
            prefix_calls=self._prefix_calls,
            check_file=check_file,
            clock=clock,
            filesystem_root=filesystem_root,
            fallback=fallback,
        )
        self._supervision: asyncio.Task[None] | None = None

    # --- how it is ---------------------------------------------------------------------------------------------

    @property
    def state(self) -> EngineState:
        return self._supervisor.state

    @property
    def model(self) -> ModelFacts | None:
        """Facts of the loaded model; after an end those of the last one, until the next is ready."""
        return self._supervisor.model

    @property
    def load_error(self) -> str | None:
        """Why the last load failed; None when it did not."""
        return self._supervisor.load_error

    @property
    def load_progress(self) -> float:
        return self._supervisor.load_progress

    @property
    def num_running(self) -> int:
        return self._requests.num_running

    @property
    def num_waiting(self) -> int:
        return self._requests.num_waiting

    @property
    def last_heard(self) -> float:
        """When the engine last reported a step or an idle tick, or became ready; at first when this was made."""
        return self._supervisor.last_heard

    @property
    def settings(self) -> EngineSettings:
        """What the engine was started with, or is about to be."""
        return self._supervisor.settings

    async def wait_busy(self) -> None:
        """Return once any request is open."""
        await self._requests.busy.wait()

    async def wait_idle(self) -> None:
        """Return once no request is open."""
        await self._requests.idle.wait()

    async def wait_settled(self) -> None:
        """Return once the model is loaded, cannot be loaded, or the client was stopped."""
        await self._supervisor.settled.wait()

    # --- start and stop ----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to keep an engine running; does not wait for it. Does nothing when called again."""
        if self._supervision is None and self.state is not EngineState.STOPPED:
            self._supervision = asyncio.create_task(self._supervisor.run(), name="engine supervision")

    def reload(self, settings: EngineSettings) -> bool:
        """Begin to load the model anew with these settings; False, and nothing happens, while anything is asked.

        If it cannot be loaded with them, it is loaded with the former ones: `settings` tells.
        """
        return self._supervisor.reload(settings)

    async def stop(self) -> None:
        """End the engine and wait until nothing is left of it; open requests raise EngineLostError."""
        self._supervisor.stop()
        if self._supervision is not None:
            await asyncio.wait({self._supervision})

    # --- requests ----------------------------------------------------------------------------------------------

    def check_capacity(self) -> None:
        """Raise EngineUnavailableError or QueueFullError if a request would not be taken now."""
        self._ready_run()
        if len(self._requests) >= self._capacity:
            raise QueueFullError(
                f"{len(self._requests)} requests are open, as many as scheduler.max_sequences and "
                "scheduler.queue_size allow together: send this one later",
                retry_after_seconds=QUEUE_FULL_SECONDS,
            )

    async def submit(self, request: GenerationRequest) -> Generation:
        """Hand the request to the engine; returns when it is accepted.

        Raises what `check_capacity` raises; ContextLengthError and InvalidRequestError when the engine refuses the
        request; EngineLostError when it ends first.
        """
        self.check_capacity()
        run = self._ready_run()
        generation = Generation(next(self._ids), on_cancel=self._cancel)
        frame = _encode_request(_submit(generation.id, request))
        self._requests.add(generation)
        try:
            answer = await run.ask(generation.id, frame, Accepted)
        except asyncio.CancelledError:
            generation.cancel()
            raise
        if isinstance(answer, Refused):
            raise _refusal(answer)
        generation.num_prompt_tokens = answer.num_prompt_tokens
        return generation

    async def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> Tokenized:
        """Token ids and their bytes.

        Raises EngineUnavailableError, QueueFullError, InvalidRequestError, EngineLostError.
        """
        command = Tokenize(next(self._ids), text, add_special=add_special, parse_special=parse_special)
        answer = await self._ask(command.id, command, Tokenized)
        if isinstance(answer, Refused):
            raise _refusal(answer)
        return answer

    async def detokenize(self, tokens: Sequence[int]) -> str:
        """Text of the tokens. Raises as `tokenize` does."""
        command = Detokenize(next(self._ids), list(tokens))
        answer = await self._ask(command.id, command, Detokenized)
        if isinstance(answer, Refused):
            raise _refusal(answer)
        return answer.text

    # --- prefixes on disk --------------------------------------------------------------------------------------

    async def pin_prefix(self, prompt: Prompt, *, name: str | None, arrived: float) -> PinnedPrefix:
        """Have a prefix computed and written; returns once it is on the disk. It counts as a request meanwhile.

        Raises what `submit` raises, and PrefixStorageError where the disk has no room for it.
        """
        self.check_capacity()
        run = self._ready_run()
        generation = Generation(next(self._ids), on_cancel=self._cancel)
        frame = _encode_request(PinPrefix(generation.id, prompt, arrived, name))
        self._requests.add(generation)
        with self._prefix_calls.expecting(generation.id) as answer:
            try:
                accepted = await run.ask(generation.id, frame, Accepted)
                pinned = accepted if isinstance(accepted, Refused) else await answer
            except asyncio.CancelledError:
                generation.cancel()
                raise
        if isinstance(pinned, Refused):
            raise _refusal(pinned)
        return PinnedPrefix(pinned.prefixes[0], is_new=pinned.is_new)

    async def list_prefixes(self) -> list[DiskPrefix]:
        """All prefixes on disk. Raises EngineUnavailableError, QueueFullError, EngineLostError."""
        command = ListPrefixes(next(self._ids))
        return (await self._call(command.id, command)).prefixes

    async def drop_prefix(self, prefix_id: str) -> None:
        """Remove a prefix from the disk. Raises as `list_prefixes` does, and PrefixNotFoundError."""
        command = DropPrefix(next(self._ids), prefix_id)
        if not (await self._call(command.id, command)).prefixes:
            raise PrefixNotFoundError(f"There is no prefix '{prefix_id}' here. GET /prefixes lists those there are.")

    async def _call(self, call_id: int, command: Message) -> Prefixes:
        run = self._ready_run()
        self._check_conversions(len(self._prefix_calls))
        frame = _encode_request(command)
        with self._prefix_calls.expecting(call_id) as future:
            run.send_frame(frame)
            answer = await future
        if isinstance(answer, Refused):
            raise _refusal(answer)
        return answer

    def _cancel(self, generation_id: int) -> None:
        run = self._supervisor.run_now
        if run is not None and self._requests.holds(generation_id):
            run.send(Cancel(generation_id))

    async def _ask(self, answer_id: int, command: Message, kind: type[AnswerT]) -> AnswerT | Refused:
        run = self._ready_run()
        self._check_conversions(len(run.answers))
        return await run.ask(answer_id, _encode_request(command), kind)

    def _check_conversions(self, num_open: int) -> None:
        if num_open >= self._capacity + MAX_CONVERSIONS:
            raise QueueFullError(
                f"{num_open} requests wait for the engine's intake: send this one later",
                retry_after_seconds=QUEUE_FULL_SECONDS,
            )

    # --- refusals ----------------------------------------------------------------------------------------------

    def _ready_run(self) -> EngineRun:
        run = self._supervisor.run_now
        if run is not None and self.state is EngineState.READY:
            return run
        raise self._unavailable()

    def _unavailable(self) -> EngineUnavailableError:
        match self.state:
            case EngineState.LOAD_FAILED:
                return EngineUnavailableError(
                    f"the model could not be loaded: {self.load_error}", retry_after_seconds=LOAD_FAILED_SECONDS
                )
            case EngineState.STOPPED:
                return EngineUnavailableError(
                    "the agent is shutting down: send the request again later", retry_after_seconds=STOPPED_SECONDS
                )
            case EngineState.RESTARTING:
                reason = "the engine ended and is being restarted"
            case EngineState.LOADING | EngineState.READY:
                reason = f"the model is being loaded ({self.load_progress:.0%})"
        seconds = self._load_seconds_left()
        return EngineUnavailableError(f"{reason}: send the request again in {seconds} s", retry_after_seconds=seconds)

    def _load_seconds_left(self) -> int:
        since_spawn = self._clock() - self._supervisor.spawn_at
        return retry_after_load(
            until_spawn=max(-since_spawn, 0.0),
            elapsed=max(since_spawn, 0.0),
            progress=self.load_progress,
            last_load=self._supervisor.last_load_seconds,
        )


def _submit(generation_id: int, request: GenerationRequest) -> Submit:
    return Submit(
        id=generation_id,
        prompt=request.prompt,
        arrived=request.arrived,
        sampling=request.sampling,
        max_tokens=request.max_tokens,
        stop=request.stop,
        ignore_eos=request.ignore_eos,
        num_logprobs=request.num_logprobs,
    )


def _encode_request(command: Message) -> bytes:
    try:
        frame = encode_frame(command)
    except (ValueError, OverflowError) as error:
        # Lone surrogates in text, integers beyond 64 bits.
        raise InvalidRequestError(f"the request holds text or a number that cannot be used: {error}") from error
    if len(frame) - FRAME_HEADER.size > MAX_FRAME_BYTES:
        raise InvalidRequestError(f"the request is larger than {MAX_FRAME_BYTES} bytes: shorten it")
    return frame


def _refusal(answer: Refused) -> EdgeAgentError:
    if answer.kind is RefusalKind.CONTEXT_LENGTH:
        return ContextLengthError(
            answer.message, num_prompt_tokens=answer.num_prompt_tokens, context_length=answer.context_length
        )
    if answer.kind is RefusalKind.STORAGE:
        return PrefixStorageError(answer.message)
    return InvalidRequestError(answer.message, param=answer.param)
