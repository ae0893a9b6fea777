"""The one table from our errors to HTTP: status, and OpenAI's `type` and `code`. Pure.

Every error leaves as {"error": {"message", "type", "param", "code"}}, as a response or as an event of a stream.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from aiohttp import web

from edge_agent.errors import (
    ContextLengthError,
    EngineError,
    EngineLostError,
    EngineUnavailableError,
    InvalidRequestError,
    ModelNotFoundError,
    PrefixNotFoundError,
    PrefixStorageError,
    QueueFullError,
)

CLIENT_CLOSED_REQUEST = 499
# The engine is being started again; loading a small model from a warm cache takes about this long.
LOST_RETRY_AFTER_SECONDS = 5

_INVALID = "invalid_request_error"
_SERVER = "server_error"


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """OpenAI's fields, and llama-server's two numbers where a prompt is too long."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None
    n_prompt_tokens: int | msgspec.UnsetType = msgspec.UNSET
    n_ctx: int | msgspec.UnsetType = msgspec.UNSET


class ErrorEnvelope(msgspec.Struct, frozen=True):
    """What is sent."""

    error: ErrorBody


class ErrorAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An error in HTTP's terms."""

    status: int
    body: ErrorBody
    retry_after_seconds: int | None = None

    def response(self) -> web.Response:
        headers = {} if self.retry_after_seconds is None else {"Retry-After": str(self.retry_after_seconds)}
        return web.Response(status=self.status, body=self.encoded(), content_type="application/json", headers=headers)

    def event(self) -> bytes:
        """The same, for a stream whose status line is gone."""
        return b"data: " + self.encoded() + b"\n\n"

    def encoded(self) -> bytes:
        return msgspec.json.encode(ErrorEnvelope(self.body))


class _Row(NamedTuple):
    error: type[Exception]
    status: int
    type: str
    code: str | None


# The first row that fits is taken, so a subclass stands above its base.
_TABLE = (
    _Row(InvalidRequestError, 400, _INVALID, None),
    _Row(ContextLengthError, 400, _INVALID, "context_length_exceeded"),
    _Row(ModelNotFoundError, 404, _INVALID, "model_not_found"),
    _Row(PrefixNotFoundError, 404, _INVALID, "prefix_not_found"),
    _Row(QueueFullError, 429, "rate_limit_error", "queue_full"),
    _Row(EngineUnavailableError, 503, "unavailable_error", "engine_unavailable"),
    _Row(EngineLostError, 503, "unavailable_error", "engine_lost"),
    _Row(PrefixStorageError, 507, _SERVER, "insufficient_storage"),
    _Row(EngineError, 500, _SERVER, "engine_error"),
)
_UNEXPECTED = _Row(Exception, 500, _SERVER, "internal_error")
_UNEXPECTED_MESSAGE = "Something went wrong inside edge-agent. Its log says what."

_HTTP_MESSAGES = {
    404: ("There is no such path here. The API is under /v1, for example POST /v1/chat/completions.", "not_found"),
    405: ("This path does not take this method. The Allow header says which it takes.", "method_not_allowed"),
    413: ("The body is larger than server.max_body_bytes allows. Send a shorter request.", "body_too_large"),
}


def error_answer(error: Exception) -> ErrorAnswer:
    """What the client is told; an error that is not in the table tells nothing of its insides."""
    if isinstance(error, web.HTTPException):
        return _http_answer(error)
    row = next((row for row in _TABLE if isinstance(error, row.error)), _UNEXPECTED)
    return ErrorAnswer(
        status=row.status,
        body=_body(error, row),
        retry_after_seconds=_retry_after_seconds(error),
    )


def is_expected(error: Exception) -> bool:
    """Whether the error is an answer rather than a bug."""
    return isinstance(error, web.HTTPException) or any(isinstance(error, row.error) for row in _TABLE)


def _body(error: Exception, row: _Row) -> ErrorBody:
    message = _UNEXPECTED_MESSAGE if row is _UNEXPECTED else str(error)
    if isinstance(error, ContextLengthError):
        return ErrorBody(
            message=message,
            type=row.type,
            code=row.code,
            n_prompt_tokens=error.num_prompt_tokens,
            n_ctx=error.context_length,
        )
    param = error.param if isinstance(error, InvalidRequestError) else None
    return ErrorBody(message=message, type=row.type, param=param, code=row.code)


def _retry_after_seconds(error: Exception) -> int | None:
    if isinstance(error, QueueFullError | EngineUnavailableError):
        return error.retry_after_seconds
    return LOST_RETRY_AFTER_SECONDS if isinstance(error, EngineLostError) else None


def _http_answer(error: web.HTTPException) -> ErrorAnswer:
    message, code = _HTTP_MESSAGES.get(error.status, (f"{error.reason}.", None))
    kind = _INVALID if error.status < 500 else _SERVER
    return ErrorAnswer(status=error.status, body=ErrorBody(message=message, type=kind, code=code))
