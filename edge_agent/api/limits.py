"""What a request may ask for: the configured limits, and the parameters that are not served.

Pure: looks at decoded bodies, raises InvalidRequestError naming the parameter. Fixed ranges stand in `request_types`.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

from edge_agent.api.request_types import ChatBody, CompletionBody, GenerationBody, MessageBody
from edge_agent.config import ServerSection
from edge_agent.errors import InvalidRequestError

ROLES = frozenset({"system", "developer", "user", "assistant"})

# What an optional parameter may be without asking for anything.
_NOTHING = frozenset({b"null", b"[]", b"{}", b'""'})


class _ResponseFormat(msgspec.Struct):
    type: str = ""


def check_chat(body: ChatBody, limits: ServerSection) -> None:
    """Raise InvalidRequestError for what /v1/chat/completions does not serve."""
    _check_generation(body, limits)
    _check_tools(body)
    if body.modalities and body.modalities != ["text"]:
        raise _not_served("modalities", 'leave it out or send ["text"]')
    if body.top_logprobs and not body.logprobs:
        raise InvalidRequestError("'top_logprobs' needs 'logprobs' to be true.", param="top_logprobs")
    check_messages(body.messages, limits)


def check_completion(body: CompletionBody, limits: ServerSection) -> None:
    """Raise InvalidRequestError for what /v1/completions does not serve."""
    _check_generation(body, limits)
    if body.echo:
        raise _not_served("echo", "leave it out; put the prompt in front of the answer yourself")
    if body.suffix:
        raise _not_served("suffix", "leave it out")
    if body.best_of is not None and body.best_of != 1:
        raise _not_served("best_of", "leave it out or send 1")


def _check_generation(body: GenerationBody, limits: ServerSection) -> None:
    if body.n is not None and body.n != 1:
        raise _not_served("n", "send one request for each answer")
    _check_output_format(body)
    _check_stop(body.stop, limits)
    if body.logit_bias and len(body.logit_bias) > limits.max_logit_bias:
        raise InvalidRequestError(
            f"'logit_bias' has {len(body.logit_bias)} tokens, at most {limits.max_logit_bias} are allowed.",
            param="logit_bias",
        )
    for token in body.logit_bias or ():
        if not 0 <= token < 2**31:
            raise InvalidRequestError(f"'logit_bias': {token} is not a token id.", param="logit_bias")


def _check_output_format(body: GenerationBody) -> None:
    if _asks(body.json_schema):
        raise _not_served("json_schema", "leave it out")
    if _asks(body.grammar):
        raise _not_served("grammar", "leave it out")
    if _asks(body.response_format) and _format_type(body.response_format) != "text":
        raise _not_served("response_format", 'leave it out or send {"type": "text"}')


def _format_type(response_format: Raw) -> str:
    try:
        return msgspec.json.decode(response_format, type=_ResponseFormat).type
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""


def _check_tools(body: ChatBody) -> None:
    if _asks(body.functions):
        raise _not_served("functions", "leave it out")
    if not _asks(body.tools) or bytes(body.tool_choice) == b'"none"':
        return
    raise _not_served("tools", "leave it out or send tool_choice 'none'")


def check_messages(messages: list[MessageBody], limits: ServerSection) -> None:
    """Raise InvalidRequestError for a conversation that cannot be rendered, or is too long for `limits`."""
    if not messages:
        raise InvalidRequestError("'messages' is empty. Send at least one message.", param="messages")
    if len(messages) > limits.max_messages:
        raise InvalidRequestError(
            f"'messages' has {len(messages)} messages, at most {limits.max_messages} are allowed "
            "(server.max_messages).",
            param="messages",
        )
    for index, message in enumerate(messages):
        _check_message(message, where=f"messages[{index}]")


def _check_message(message: MessageBody, *, where: str) -> None:
    if message.role not in ROLES:
        raise InvalidRequestError(
            f"'{where}.role' is not served here. Send system, developer, user or assistant.", param=f"{where}.role"
        )
    if _asks(message.tool_calls):
        raise _not_served(f"{where}.tool_calls", "leave it out")
    if message.content is None and message.role != "assistant":
        raise InvalidRequestError(f"'{where}.content' is required.", param=f"{where}.content")
    if not isinstance(message.content, list):
        return
    for part in message.content:
        if part.type != "text" or part.text is None:
            raise InvalidRequestError(
                f"'{where}.content': this model reads parts of type 'text' with a 'text' only.",
                param=f"{where}.content",
            )


def _check_stop(stop: str | list[str] | None, limits: ServerSection) -> None:
    strings = [stop] if isinstance(stop, str) else stop or []
    if len(strings) > limits.max_stop_strings:
        raise InvalidRequestError(
            f"'stop' has {len(strings)} strings, at most {limits.max_stop_strings} are allowed "
            "(server.max_stop_strings).",
            param="stop",
        )
    for string in strings:
        if not string:
            raise InvalidRequestError("'stop' has an empty string, which would end every answer.", param="stop")
        if len(string) > limits.max_stop_characters:
            raise InvalidRequestError(
                f"'stop' has a string of {len(string)} characters, at most {limits.max_stop_characters} are allowed "
                "(server.max_stop_characters).",
                param="stop",
            )


def _asks(value: Raw) -> bool:
    """Whether the parameter was given and is more than an empty value."""
    return bytes(value).translate(None, b" \t\r\n") not in _NOTHING


def _not_served(param: str, remedy: str) -> InvalidRequestError:
    return InvalidRequestError(f"'{param}' is not served here: {remedy}.", param=param)
