"""From a checked body to the engine's terms: prompt, sampling and limits. Pure; knows no HTTP.

The defaults of sampling are llama-server's, since that is what the models' users tune against: temperature 0.8,
top_k 40, top_p 0.95, min_p 0.05, no penalties; OpenAI's temperature of 1 with nothing cut does small models no good.
"""

from __future__ import annotations

from typing import TypeVar

from edge_agent.api.limits import check_chat, check_completion
from edge_agent.api.request_types import ChatBody, CompletionBody, ContentPart, GenerationBody, MessageBody
from edge_agent.config import ServerSection
from edge_agent.engine_client.request import GenerationRequest
from edge_agent.errors import InvalidRequestError
from edge_agent.protocol import ChatMessage, ChatPrompt, SamplingSettings, TextPrompt, TokenPrompt

DEFAULT_TEMPERATURE = 0.8
DEFAULT_TOP_K = 40
DEFAULT_TOP_P = 0.95
DEFAULT_MIN_P = 0.05

# llama.cpp's seeds have 32 bits, and the largest of them means "any"; OpenAI's have 64.
_NUM_SEEDS = 2**32 - 1

Value = TypeVar("Value")


def chat_request(body: ChatBody, *, arrived: float, limits: ServerSection) -> GenerationRequest:
    """The chat body as a request to the engine. Raises InvalidRequestError."""
    check_chat(body, limits)
    return GenerationRequest(
        prompt=chat_prompt(body.messages),
        arrived=arrived,
        sampling=_sampling(body),
        max_tokens=_max_tokens(
            _or(body.max_completion_tokens, body.max_tokens),
            param="max_tokens" if body.max_completion_tokens is None else "max_completion_tokens",
        ),
        stop=_stop(body),
        ignore_eos=bool(body.ignore_eos),
        num_logprobs=(body.top_logprobs or 0) if body.logprobs else None,
    )


def completion_request(body: CompletionBody, *, arrived: float, limits: ServerSection) -> GenerationRequest:
    """The completion body as a request to the engine. Raises InvalidRequestError."""
    check_completion(body, limits)
    return GenerationRequest(
        prompt=_prompt(body.prompt),
        arrived=arrived,
        sampling=_sampling(body),
        max_tokens=_max_tokens(body.max_tokens, param="max_tokens"),
        stop=_stop(body),
        ignore_eos=bool(body.ignore_eos),
        num_logprobs=body.logprobs,
    )


def chat_prompt(messages: list[MessageBody]) -> ChatPrompt:
    """Checked messages as the engine renders them."""
    return ChatPrompt(messages=[_message(message) for message in messages])


def _message(message: MessageBody) -> ChatMessage:
    # Templates know no developer: it is OpenAI's newer word for system.
    role = "system" if message.role == "developer" else message.role
    return ChatMessage(role=role, content=_text(message.content), name=message.name)


def _text(content: str | list[ContentPart] | None) -> str:
    if isinstance(content, list):
        return "\n".join(part.text or "" for part in content)
    return content or ""


def _prompt(prompt: str | list[str | int | list[int]]) -> TextPrompt | TokenPrompt:
    if isinstance(prompt, str):
        return TextPrompt(text=prompt)
    tokens = [item for item in prompt if isinstance(item, int)]
    if tokens and len(tokens) == len(prompt):
        return _token_prompt(tokens)
    if len(prompt) != 1:
        raise InvalidRequestError(
            "'prompt' must be one prompt: a string, a list of token ids, or a list with one of these. "
            "Send one request for each prompt.",
            param="prompt",
        )
    only = prompt[0]
    if isinstance(only, str):
        return TextPrompt(text=only)
    return _token_prompt(only if isinstance(only, list) else [only])


def _token_prompt(tokens: list[int]) -> TokenPrompt:
    for token in tokens:
        if not 0 <= token < 2**31:
            raise InvalidRequestError("'prompt' has a number that is not a token id.", param="prompt")
    if not tokens:
        raise InvalidRequestError("'prompt' is empty. Send at least one token.", param="prompt")
    return TokenPrompt(tokens=tokens)


def _max_tokens(max_tokens: int | None, *, param: str) -> int | None:
    if max_tokens is None or max_tokens == -1:
        return None
    if max_tokens == 0:
        raise InvalidRequestError(
            f"'{param}' is 0. Send at least 1, or leave it out to answer until the context ends.", param=param
        )
    return max_tokens


def _stop(body: GenerationBody) -> list[str]:
    if isinstance(body.stop, str):
        return [body.stop]
    return body.stop or []


def _sampling(body: GenerationBody) -> SamplingSettings:
    return SamplingSettings(
        temperature=_or(body.temperature, DEFAULT_TEMPERATURE),
        top_k=max(0, _or(body.top_k, DEFAULT_TOP_K)),
        top_p=_or(body.top_p, DEFAULT_TOP_P),
        min_p=_or(body.min_p, DEFAULT_MIN_P),
        repeat_penalty=_or(body.repeat_penalty, 1.0),
        presence_penalty=_or(body.presence_penalty, 0.0),
        frequency_penalty=_or(body.frequency_penalty, 0.0),
        seed=_seed(body.seed),
        logit_bias=body.logit_bias or {},
    )


def _seed(seed: int | None) -> int | None:
    """32 bits of the client's seed; absent and -1 (llama-server's word for it) mean any."""
    return None if seed is None or seed == -1 else seed % _NUM_SEEDS


def _or(value: Value | None, default: Value) -> Value:
    return default if value is None else value
