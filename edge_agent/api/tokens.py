"""POST /tokenize and /detokenize in llama-server's shapes. Event loop; the engine's intake does the work."""

from __future__ import annotations

import msgspec
from aiohttp import web

from edge_agent.api.body import read_body
from edge_agent.api.engine import Engine
from edge_agent.api.request_types import DetokenizeBody, TokenizeBody
from edge_agent.errors import InvalidRequestError


class _TokenWithPiece(msgspec.Struct, frozen=True):
    id: int
    # Bytes where the token ends inside a character.
    piece: str | list[int]


class _Tokens(msgspec.Struct, frozen=True):
    tokens: list[int] | list[_TokenWithPiece]


class _Content(msgspec.Struct, frozen=True):
    content: str


class TokenEndpoints:
    """The two handlers."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._tokenize_decoder = msgspec.json.Decoder(TokenizeBody)
        self._detokenize_decoder = msgspec.json.Decoder(DetokenizeBody)

    async def tokenize(self, request: web.Request) -> web.Response:
        body = await read_body(request, self._tokenize_decoder)
        text = body.prompt if body.content is None else body.content
        if text is None:
            raise InvalidRequestError("'content' is required.", param="content")
        tokenized = await self._engine.tokenize(
            text,
            add_special=bool(body.add_special_tokens if body.add_special is None else body.add_special),
            parse_special=body.parse_special is not False,
        )
        if not body.with_pieces:
            return _json(_Tokens(tokenized.tokens))
        pairs = zip(tokenized.tokens, tokenized.pieces, strict=True)
        return _json(_Tokens([_TokenWithPiece(token, _piece(piece)) for token, piece in pairs]))

    async def detokenize(self, request: web.Request) -> web.Response:
        body = await read_body(request, self._detokenize_decoder)
        return _json(_Content(await self._engine.detokenize(body.tokens)))


def _piece(piece: bytes) -> str | list[int]:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return list(piece)


def _json(body: msgspec.Struct) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")
