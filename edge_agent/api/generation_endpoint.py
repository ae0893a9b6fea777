"""Answers one kind of request for generation: body in, accepted by the engine, then a stream or one message out.

No status line is sent before the engine accepted the request. A client that leaves has its sequence cancelled, since
aiohttp cancels the handler. Which API it is, `GenerationKind` says.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic, NamedTuple, Protocol, TypeVar

import msgspec
from aiohttp import web

from edge_agent.api.accounting import Accounting, RequestRecord
from edge_agent.api.answer_format import AnswerFormat, AnswerHead
from edge_agent.api.body import read_body
from edge_agent.api.chat_format import ChatFormat
from edge_agent.api.completion_format import CompletionFormat
from edge_agent.api.drain import Drain
from edge_agent.api.engine import Engine, Generation
from edge_agent.api.error_responses import error_answer, is_expected
from edge_agent.api.event_stream import EventStream
from edge_agent.api.generation_request import chat_request, completion_request
from edge_agent.api.request_types import ChatBody, CompletionBody, GenerationBody
from edge_agent.api.usage import usage_of
from edge_agent.config import ServerSection
from edge_agent.engine_client.request import GenerationRequest
from edge_agent.errors import EngineError, EngineLostError
from edge_agent.protocol import Finished, FinishReason, SequenceReport, TokenLogprobs
from edge_agent.telemetry.outcome import Endpoint

logger = logging.getLogger(__name__)

Body = TypeVar("Body", bound=GenerationBody)
Body_contra = TypeVar("Body_contra", bound=GenerationBody, contravariant=True)


class ToRequest(Protocol[Body_contra]):
    """Checks a body and puts it in the engine's terms."""

    def __call__(self, body: Body_contra, *, arrived: float, limits: ServerSection) -> GenerationRequest: ...


class ToFormat(Protocol):
    """Makes the spelling of one answer."""

    def __call__(self, head: AnswerHead, *, has_usage: bool) -> AnswerFormat: ...


class GenerationKind(NamedTuple, Generic[Body]):
    """What one generation endpoint is made of."""

    endpoint: Endpoint
    id_prefix: str
    decoder: msgspec.json.Decoder[Body]
    to_request: ToRequest[Body]
    to_format: ToFormat


CHAT = GenerationKind(Endpoint.CHAT, "chatcmpl-", msgspec.json.Decoder(ChatBody), chat_request, ChatFormat)
COMPLETIONS = GenerationKind(
    Endpoint.COMPLETIONS, "cmpl-", msgspec.json.Decoder(CompletionBody), completion_request, CompletionFormat
)


class GenerationContext(NamedTuple):
    """What both generation endpoints share."""

    engine: Engine
    accounting: Accounting
    drain: Drain
    limits: ServerSection
    model_alias: str
    clock: Callable[[], float]
    wall_clock: Callable[[], float]


class GenerationEndpoint(Generic[Body]):
    """The handler of one kind."""

    def __init__(self, kind: GenerationKind[Body], context: GenerationContext) -> None:
        self._kind = kind
        self._context = context

    async def handle(self, request: web.Request) -> web.StreamResponse:
        context, kind = self._context, self._kind
        with context.accounting.request(kind.endpoint, id_prefix=kind.id_prefix) as record:
            body = await read_body(request, kind.decoder)
            record.is_stream = bool(body.stream)
            with context.drain.admitted():
                generation = await context.engine.submit(
                    kind.to_request(body, arrived=record.arrived, limits=context.limits)
                )
                record.is_accepted = True
                try:
                    return await self._answer(request, body, generation, record)
                finally:
                    generation.cancel()

    async def _answer(
        self, request: web.Request, body: Body, generation: Generation, record: RequestRecord
    ) -> web.StreamResponse:
        head = AnswerHead(id=record.id, created=int(self._context.wall_clock()), model=self._context.model_alias)
        has_usage = body.stream_options is not None and bool(body.stream_options.include_usage)
        answer = self._kind.to_format(head, has_usage=has_usage)
        if body.stream:
            return await self._stream(request, generation, answer, record)
        return await _whole(generation, answer, record)

    async def _stream(
        self, request: web.Request, generation: Generation, answer: AnswerFormat, record: RequestRecord
    ) -> web.StreamResponse:
        stream = EventStream(
            request, keepalive_seconds=self._context.limits.keepalive_seconds, clock=self._context.clock
        )
        async with stream:
            try:
                await _write_answer(stream, generation, answer, record)
            except ConnectionError:
                raise
            except Exception as error:
                if not stream.is_open:
                    raise
                record.error, record.sent_status = error, stream.response.status
                _log_unexpected(error)
                await stream.close(error_answer(error).event())
        return stream.response


async def _write_answer(
    stream: EventStream, generation: Generation, answer: AnswerFormat, record: RequestRecord
) -> None:
    opening = answer.opening()
    async for message in generation:
        if isinstance(message, Finished):
            record.finished = message
            continue
        events = _events(message, answer)
        # The opening goes out with the first token, so that a client's time to first byte is its time to first token.
        if message.tokens and opening:
            events, opening = opening + events, b""
        if events:
            await stream.write(events)
    finished = _ended_well(record.finished)
    usage = usage_of(finished, num_prompt_tokens=generation.num_prompt_tokens)
    held_back = answer.delta(finished.text, None) if finished.text else b""
    await stream.close(opening + held_back + answer.closing(finished, usage))


async def _whole(generation: Generation, answer: AnswerFormat, record: RequestRecord) -> web.Response:
    texts: list[str] = []
    logprobs: list[TokenLogprobs] = []
    async for message in generation:
        texts.append(message.text)
        if isinstance(message, Finished):
            record.finished = message
        elif message.logprobs is not None:
            logprobs += message.logprobs
    finished = _ended_well(record.finished)
    usage = usage_of(finished, num_prompt_tokens=generation.num_prompt_tokens)
    return web.Response(
        body=answer.whole("".join(texts), logprobs or None, finished, usage), content_type="application/json"
    )


def _events(report: SequenceReport, answer: AnswerFormat) -> bytes:
    if not report.text and not report.logprobs:
        return b""
    return answer.delta(report.text, report.logprobs)


def _ended_well(finished: Finished | None) -> Finished:
    """The end of a complete answer. Raises EngineError when the engine gave the sequence up."""
    if finished is None:
        raise EngineLostError("The engine ended while it was answering. Send the request again.")
    if finished.reason in {FinishReason.ERROR, FinishReason.CANCELLED}:
        raise EngineError(finished.error or "The engine gave this answer up. Send the request again.")
    return finished


def _log_unexpected(error: Exception) -> None:
    if not is_expected(error):
        logger.error("answer failed", exc_info=error)
