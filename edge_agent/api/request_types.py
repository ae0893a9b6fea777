"""The bodies that clients post, as structs: types and fixed ranges; absent and null both mean the default.

What depends on the configuration is checked in `limits`; what a body means, in `generation_request`.
Unknown keys are ignored, as every server of this API does. Used on the event loop.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Raw, Struct

# Parameters that are refused are kept as raw JSON, so that nobody's tree is built to be thrown away.
ABSENT = Raw(b"null")

Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
# -1 is how llama-server's clients say "until the context ends".
MaxTokens = Annotated[int, Meta(ge=-1, le=2**31 - 1)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
# 20, as OpenAI has it: each alternative is looked up and sent with every token.
NumLogprobs = Annotated[int, Meta(ge=0, le=20)]
Bias = Annotated[float, Meta(ge=-100, le=100)]


class ContentPart(Struct, frozen=True):
    """One part of a message; only parts of type `text` are served."""

    type: str
    text: str | None = None


class MessageBody(Struct, frozen=True):
    """One message of a conversation."""

    role: str
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: Raw = ABSENT


class StreamOptions(Struct, frozen=True):
    """What else a stream carries."""

    include_usage: bool | None = None


class GenerationBody(Struct, frozen=True, kw_only=True):
    """What both generation endpoints understand."""

    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: MaxTokens | None = None
    stop: str | list[str] | None = None
    ignore_eos: bool | None = None
    # 5 is already noise; OpenAI allows 2, llama-server anything.
    temperature: Annotated[float, Meta(ge=0, le=5)] | None = None
    top_p: Fraction | None = None
    top_k: Annotated[int, Meta(ge=-1, le=2**31 - 1)] | None = None
    min_p: Fraction | None = None
    repeat_penalty: Annotated[float, Meta(ge=0.01, le=10)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    seed: Int64 | None = None
    logit_bias: dict[int, Bias] | None = None
    n: Int64 | None = None
    response_format: Raw = ABSENT
    json_schema: Raw = ABSENT
    grammar: Raw = ABSENT


class ChatBody(GenerationBody, frozen=True, kw_only=True):
    """POST /v1/chat/completions."""

    messages: list[MessageBody]
    max_completion_tokens: MaxTokens | None = None
    logprobs: bool | None = None
    top_logprobs: NumLogprobs | None = None
    tools: Raw = ABSENT
    tool_choice: Raw = ABSENT
    functions: Raw = ABSENT
    modalities: list[str] | None = None


class CompletionBody(GenerationBody, frozen=True, kw_only=True):
    """POST /v1/completions."""

    prompt: str | list[str | int | list[int]]
    logprobs: NumLogprobs | None = None
    echo: bool | None = None
    suffix: str | None = None
    best_of: Int64 | None = None


class TokenizeBody(Struct, frozen=True, kw_only=True):
    """POST /tokenize, in llama-server's words (`content`, `add_special`) or vLLM's (`prompt`, `add_special_tokens`)."""

    content: str | None = None
    prompt: str | None = None
    add_special: bool | None = None
    add_special_tokens: bool | None = None
    parse_special: bool | None = None
    with_pieces: bool | None = None


class PrefixBody(Struct, frozen=True, kw_only=True):
    """POST /prefixes: messages or a prompt, one of the two, and what to call it."""

    messages: list[MessageBody] | None = None
    prompt: str | None = None
    # 128: as long as an instance's name; it is kept in the prefix's file.
    name: Annotated[str, Meta(min_length=1, max_length=128)] | None = None


class DetokenizeBody(Struct, frozen=True, kw_only=True):
    """POST /detokenize."""

    tokens: list[Annotated[int, Meta(ge=0, le=2**31 - 1)]]
