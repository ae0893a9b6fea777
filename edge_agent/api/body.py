"""Reads a request's JSON into a struct, whatever content type the client claims (curl -d claims a form).

Turns every way in which bytes can fail to be that struct into an `InvalidRequestError` that names the parameter.
"""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec
from aiohttp import web

from edge_agent.errors import InvalidRequestError

Body = TypeVar("Body")

_PLACE = re.compile(r" - at .*?`\$\.?(?P<path>[^`]*)`$")
_MISSING_FIELD = re.compile(r"missing required field `(?P<field>[^`]*)`")
_PYTHON_TYPE = re.compile(r"\b(str|int|float|bool)\b")
_JSON_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}


async def read_body(request: web.Request, decoder: msgspec.json.Decoder[Body]) -> Body:
    """The request's body as the decoder's struct. Raises InvalidRequestError; aiohttp answers 413 for its size."""
    try:
        data = await request.read()
    except web.RequestPayloadError:
        raise InvalidRequestError(
            "The body is not encoded as Content-Encoding or Transfer-Encoding says. Send it as it is."
        ) from None
    return decode_body(data, decoder)


def decode_body(data: bytes, decoder: msgspec.json.Decoder[Body]) -> Body:
    """The bytes as the decoder's struct. Raises InvalidRequestError."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise _wrong_value(str(error)) from None
    except msgspec.DecodeError as error:
        raise InvalidRequestError(f"The body is not valid JSON: {error}. Send one JSON object.") from None
    except UnicodeDecodeError:
        raise InvalidRequestError("The body is not valid UTF-8. Send JSON encoded as UTF-8.") from None
    except RecursionError:
        raise InvalidRequestError("The body is nested too deeply. Send flatter JSON.") from None


def _wrong_value(message: str) -> InvalidRequestError:
    """The error for a value of the wrong type or out of range, from what msgspec says of it."""
    place = _PLACE.search(message)
    path = place["path"] if place else ""
    reason = message[: place.start()] if place else message
    missing = _MISSING_FIELD.search(reason)
    if missing:
        param = f"{path}.{missing['field']}" if path else missing["field"]
        return InvalidRequestError(f"'{param}' is required.", param=param)
    reason = _PYTHON_TYPE.sub(lambda match: _JSON_TYPES[match[0]], reason).replace("`", "")
    if not path:
        return InvalidRequestError(f"The body is not what this endpoint takes: {reason}.")
    param = path.removesuffix("[...]")
    return InvalidRequestError(f"'{param}': {reason[:1].lower()}{reason[1:]}.", param=param)
