"""POST, GET and DELETE /prefixes: beginnings of prompts that stay on the device's disk. Event loop.

The engine computes, writes and finds them; here they get OpenAI's shapes for a resource.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec
from aiohttp import web

from edge_agent.api.body import read_body
from edge_agent.api.drain import Drain
from edge_agent.api.engine import Engine
from edge_agent.api.generation_request import chat_prompt
from edge_agent.api.limits import check_messages
from edge_agent.api.request_types import PrefixBody
from edge_agent.config import ServerSection
from edge_agent.disk_prefix import DiskPrefix
from edge_agent.errors import InvalidRequestError
from edge_agent.protocol import ChatPrompt, TextPrompt

logger = logging.getLogger(__name__)


class _Prefix(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    object: str = "prefix"
    name: str | None
    num_tokens: int
    num_bytes: int
    # False for one that was kept because it came back; it goes when space is short.
    pinned: bool
    created: int


class _PrefixList(msgspec.Struct, frozen=True, kw_only=True):
    object: str = "list"
    data: list[_Prefix]


class _DroppedPrefix(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    object: str = "prefix"
    deleted: bool = True


class PrefixEndpoints:
    """The three handlers. `clock` is the one that requests arrive by."""

    def __init__(self, engine: Engine, *, drain: Drain, limits: ServerSection, clock: Callable[[], float]) -> None:
        self._engine = engine
        self._drain = drain
        self._limits = limits
        self._clock = clock
        self._decoder = msgspec.json.Decoder(PrefixBody)

    async def pin(self, request: web.Request) -> web.Response:
        """201 once the prefix is on the disk, 200 where it was there."""
        arrived = self._clock()
        body = await read_body(request, self._decoder)
        prompt = _prompt(body, self._limits)
        with self._drain.admitted():
            pinned = await self._engine.pin_prefix(prompt, name=body.name, arrived=arrived)
        prefix = pinned.prefix
        logger.info("prefix pinned id=%s num_tokens=%d num_bytes=%d", prefix.id, prefix.num_tokens, prefix.num_bytes)
        return _json(_shape(prefix), status=201 if pinned.is_new else 200)

    async def list(self, _request: web.Request) -> web.Response:
        prefixes = await self._engine.list_prefixes()
        return _json(_PrefixList(data=[_shape(prefix) for prefix in prefixes]))

    async def drop(self, request: web.Request) -> web.Response:
        prefix_id = request.match_info["id"]
        await self._engine.drop_prefix(prefix_id)
        logger.info("prefix dropped id=%s", prefix_id)
        return _json(_DroppedPrefix(id=prefix_id))


def _prompt(body: PrefixBody, limits: ServerSection) -> ChatPrompt | TextPrompt:
    """What is to be kept. Raises InvalidRequestError unless the body has exactly one of the two."""
    if body.messages is not None and body.prompt is not None:
        raise InvalidRequestError("'messages' and 'prompt' exclude each other: send one of them.", param="prompt")
    if body.messages is not None:
        check_messages(body.messages, limits)
        return chat_prompt(body.messages)
    if not body.prompt:
        raise InvalidRequestError("'messages' is required, or 'prompt' with text.", param="messages")
    return TextPrompt(text=body.prompt)


def _shape(prefix: DiskPrefix) -> _Prefix:
    return _Prefix(
        id=prefix.id,
        name=prefix.name,
        num_tokens=prefix.num_tokens,
        num_bytes=prefix.num_bytes,
        pinned=prefix.is_pinned,
        created=prefix.created,
    )


def _json(body: msgspec.Struct, *, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json")
