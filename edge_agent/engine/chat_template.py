"""Renders a conversation with the GGUF's own Jinja template, which is untrusted input.

A sandbox without attribute tricks, a deadline (a trace function, so only on the calling thread), and limits on what the
template is, is given and makes. What escapes them all costs the engine process, not the agent. Runs on the intake.
"""

from __future__ import annotations

import datetime
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from edge_agent.protocol import ChatMessage

# Qwen3's template with tools is 4 kB, the longest known ones 30 kB.
MAX_TEMPLATE_CHARACTERS = 256 * 1024
# Four times the largest HTTP body: enough for any markup around it.
MAX_RENDERED_CHARACTERS = 16 * 1024 * 1024
# A thousand messages render in 50 ms on a PC, half a second on a Pi.
RENDER_SECONDS = 5.0
# A product of two integers larger than this is no length that a template needs.
MAX_PRODUCT = 2**31
# Characters or items that a template may make by repeating something: indentation, rules, not bombs.
MAX_REPEATED = 65536
# Two messages that differ from their first character on.
_TWO_WAYS_ON = ("A", "B")

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


class TemplateRefusedError(Exception):
    """The template cannot be used, or refused the conversation."""


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox, and a bound on the operators that make something large from something small."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" or (operator == "%" and isinstance(left, str)):
            raise TemplateError(f"the operator {operator} is not allowed in a chat template")
        if operator == "*" and _product(left, right) > self._max_product(left, right):
            raise TemplateError("the chat template multiplies something too large")
        return super().call_binop(context, operator, left, right)

    @staticmethod
    def _max_product(left: Any, right: Any) -> int:
        both_numbers = isinstance(left, (int, float)) and isinstance(right, (int, float))
        return MAX_PRODUCT if both_numbers else MAX_REPEATED


def _product(left: Any, right: Any) -> float:
    return _size(left) * _size(right)


def _size(value: Any) -> float:
    return abs(value) if isinstance(value, (int, float)) else len(value)


class ChatTemplate:
    """A compiled template. Raises TemplateRefusedError if it is no Jinja, or too long."""

    def __init__(
        self, source: str, *, bos_text: str, eos_text: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if len(source) > MAX_TEMPLATE_CHARACTERS:
            raise TemplateRefusedError(f"the chat template has {len(source)} characters, too many to trust")
        environment = _Environment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
        environment.filters["tojson"] = _to_json
        environment.globals.update(raise_exception=_raise_exception, strftime_now=_strftime_now)
        self._clock = clock
        self._special = {"bos_token": bos_text, "eos_token": eos_text}
        try:
            self._template = environment.from_string(source)
        except (TemplateError, RecursionError, SyntaxError, ValueError) as error:
            raise TemplateRefusedError(f"the chat template is not valid: {error}") from error

    def opening(self, messages: list[ChatMessage]) -> str:
        """What all conversations that go on from these messages begin with, as text.

        Found by going on in two ways, not by rendering the messages alone: some templates fold a system message into
        the first question, and make nothing of it without one.
        """
        next_role = "assistant" if messages and messages[-1].role == "user" else "user"
        one, other = (
            self.render([*messages, ChatMessage(next_role, content)], add_generation_prompt=False)
            for content in _TWO_WAYS_ON
        )
        text = _common_beginning(one, other)
        if text in {"", self._special["bos_token"]}:
            raise TemplateRefusedError(
                "the model's chat template begins no two conversations alike after these messages: "
                "send the text that they have in common as 'prompt'"
            )
        return text

    def render(self, messages: list[ChatMessage], *, add_generation_prompt: bool = True) -> str:
        """The conversation as the model's prompt, ready for the assistant's turn unless told otherwise."""
        plain = [_as_dict(message) for message in messages]
        try:
            with _deadline(self._clock, RENDER_SECONDS):
                return self._collect(
                    self._template.generate(
                        messages=plain,
                        add_generation_prompt=add_generation_prompt,
                        tools=None,
                        documents=None,
                        **self._special,
                    )
                )
        except TemplateRefusedError:
            raise
        except Exception as error:
            # A template is a program of strangers: whatever it raises is its refusal.
            raise TemplateRefusedError(f"the model's chat template refused the messages: {error}") from error

    def _collect(self, chunks: Iterator[str]) -> str:
        parts: list[str] = []
        length = 0
        for chunk in chunks:
            length += len(chunk)
            if length > MAX_RENDERED_CHARACTERS:
                raise TemplateRefusedError("the model's chat template makes too long a prompt of the messages")
            parts.append(chunk)
        return "".join(parts)


def _common_beginning(one: str, other: str) -> str:
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return one[: sum(1 for _ in pairs)]


@contextmanager
def _deadline(clock: Callable[[], float], seconds: float) -> Iterator[None]:
    """Raise TemplateRefusedError in this thread's Python code once `seconds` have passed."""
    end = clock() + seconds

    def trace(_frame: FrameType, _event: str, _argument: object) -> Any:
        if clock() > end:
            raise TemplateRefusedError(f"the model's chat template did not finish within {seconds:g} seconds")
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(previous)


def _as_dict(message: ChatMessage) -> dict[str, str]:
    plain = {"role": message.role, "content": message.content}
    return plain if message.name is None else {**plain, "name": message.name}


def _to_json(value: Any, indent: int | None = None, **_ignored: Any) -> str:
    # Not Jinja's own filter: that one escapes for HTML.
    return json.dumps(value, ensure_ascii=False, indent=indent if indent is None else min(int(indent), 8))


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _strftime_now(format_: str) -> str:
    return datetime.datetime.now().astimezone().strftime(format_[:256])
