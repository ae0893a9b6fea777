"""Reads the agent's commands: renders, tokenises, checks, answers, and hands accepted sequences to the step loop.

Runs on its own thread and never touches the context, but for the abort flag. Everything it is given may be hostile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import assert_never

from edge_agent.engine.channel import Outlet
from edge_agent.engine.chat_template import ChatTemplate, TemplateRefusedError
from edge_agent.engine.inbox import CancelSequence, InboxItem, NewPin, NewSequence, StopLoop
from edge_agent.engine.llama_model import LlamaModel, SpecialKind
from edge_agent.engine.sequence import Sequence
from edge_agent.engine.text_limits import MAX_DETOKENIZED_BYTES, MAX_TOKENS, TextLimits
from edge_agent.protocol import (
    Accepted,
    Cancel,
    ChatMessage,
    ChatPrompt,
    Command,
    Detokenize,
    Detokenized,
    DropPrefix,
    ListPrefixes,
    Load,
    PinPrefix,
    Prompt,
    RefusalKind,
    Refused,
    Stop,
    Submit,
    TextPrompt,
    Tokenize,
    Tokenized,
    TokenPrompt,
)

# How a chat template makes text of a conversation.
_Render = Callable[[ChatTemplate, list[ChatMessage]], str]


class _RefusalError(Exception):
    """A request that is answered with `Refused`."""

    def __init__(self, message: str, *, param: str) -> None:
        super().__init__(message)
        self.param = param


class Intake:
    """One call to `serve` reads the commands to their end."""

    def __init__(
        self,
        *,
        model: LlamaModel,
        template: ChatTemplate | TemplateRefusedError,
        context_length: int,
        answers: Outlet,
        inbox: SimpleQueue[InboxItem],
        interrupt: Callable[[int], None],
    ) -> None:
        self._model = model
        self._limits = TextLimits(
            always=model.special_texts(SpecialKind.USER_DEFINED), on_request=model.special_texts(SpecialKind.CONTROL)
        )
        self._template = template
        self._context_length = context_length
        self._answers = answers
        self._inbox = inbox
        self._interrupt = interrupt

    def serve(self, commands: Iterable[Command]) -> None:
        """Answer commands until `Stop` or until the agent is gone; then stop the step loop too."""
        try:
            for command in commands:
                if isinstance(command, Stop):
                    return
                self._answer(command)
        finally:
            self._inbox.put(StopLoop())

    def _answer(self, command: Command) -> None:
        match command:
            case Submit():
                self._submit(command)
            case Cancel():
                self._inbox.put(CancelSequence(command.id))
                self._interrupt(command.id)
            case Tokenize():
                self._answers.send(self._tokenize(command))
            case Detokenize():
                self._answers.send(self._detokenize(command))
            case PinPrefix():
                self._pin(command)
            case ListPrefixes() | DropPrefix():
                self._inbox.put(command)
            case Load() | Stop():
                raise ValueError(f"unexpected command {type(command).__name__}")
            case _:
                assert_never(command)

    def _submit(self, request: Submit) -> None:
        sequence = self._sequence(request, ChatTemplate.render, max_tokens=request.max_tokens)
        if sequence is not None:
            self._inbox.put(NewSequence(sequence, request))

    def _pin(self, request: PinPrefix) -> None:
        sequence = self._sequence(request, ChatTemplate.opening, max_tokens=0)
        if sequence is not None:
            self._inbox.put(NewPin(sequence, request.name))

    def _sequence(self, request: Submit | PinPrefix, render: _Render, *, max_tokens: int | None) -> Sequence | None:
        """Accept a request, and make its sequence; None: it was refused."""
        try:
            tokens = self._prompt_tokens(request.prompt, render)
            self._check(tokens)
            if isinstance(request, Submit):
                self._check_ids(request.sampling.logit_bias, param="logit_bias")
        except _RefusalError as refusal:
            self._answers.send(Refused(request.id, RefusalKind.INVALID, str(refusal), param=refusal.param))
            return None
        room = self._context_length - len(tokens)
        if room < 1:
            self._answers.send(self._too_long(request.id, len(tokens)))
            return None
        self._answers.send(Accepted(request.id, len(tokens)))
        return Sequence(
            id=request.id,
            tokens=tokens,
            max_tokens=room if max_tokens is None else min(max_tokens, room),
            arrived=request.arrived,
            queued=time.monotonic(),
        )

    def _prompt_tokens(self, prompt: Prompt, render: _Render) -> list[int]:
        match prompt:
            case ChatPrompt():
                return self._tokens_of(self._render(prompt, render), param="messages")
            case TextPrompt():
                return self._tokens_of(prompt.text, param="prompt")
            case TokenPrompt():
                return list(prompt.tokens)
            case _:
                assert_never(prompt)

    def _tokens_of(self, text: str, *, param: str, add_special: bool = True, parse_special: bool = True) -> list[int]:
        complaint = self._limits.complaint(text.encode("utf-8", "replace"), parse_special=parse_special)
        if complaint is not None:
            raise _RefusalError(complaint, param=param)
        return self._model.tokenize(text, add_special=add_special, parse_special=parse_special)

    def _render(self, prompt: ChatPrompt, render: _Render) -> str:
        if isinstance(self._template, TemplateRefusedError):
            raise _RefusalError(f"{self._template}; use /v1/completions with a plain prompt", param="messages")
        try:
            text = render(self._template, prompt.messages)
        except TemplateRefusedError as error:
            raise _RefusalError(str(error), param="messages") from error
        # The tokenizer adds BOS where the model wants it: a template that writes it too would double it.
        bos = self._model.bos_text
        return text.removeprefix(bos) if self._model.adds_bos and bos else text

    def _check(self, tokens: list[int]) -> None:
        if not tokens:
            raise _RefusalError("the prompt is empty: send at least one token", param="prompt")
        self._check_ids(tokens, param="prompt")

    def _check_ids(self, tokens: Iterable[int], *, param: str) -> None:
        outside = next((token for token in tokens if not 0 <= token < self._model.num_tokens), None)
        if outside is not None:
            message = f"token {outside} is outside the vocabulary: use ids from 0 to {self._model.num_tokens - 1}"
            raise _RefusalError(message, param=param)

    def _too_long(self, request_id: int, num_tokens: int) -> Refused:
        return Refused(
            request_id,
            RefusalKind.CONTEXT_LENGTH,
            f"the prompt has {num_tokens} tokens and the context holds {self._context_length}, "
            "one of them for the answer: shorten the prompt or serve with a larger --context-length",
            num_prompt_tokens=num_tokens,
            context_length=self._context_length,
        )

    def _tokenize(self, command: Tokenize) -> Tokenized | Refused:
        try:
            tokens = self._tokens_of(
                command.text, param="content", add_special=command.add_special, parse_special=command.parse_special
            )
        except _RefusalError as refusal:
            return Refused(command.id, RefusalKind.INVALID, str(refusal), param=refusal.param)
        return Tokenized(command.id, tokens, [self._model.piece(token, special=True) for token in tokens])

    def _detokenize(self, command: Detokenize) -> Detokenized | Refused:
        try:
            return Detokenized(command.id, self._text_of(command.tokens))
        except _RefusalError as refusal:
            return Refused(command.id, RefusalKind.INVALID, str(refusal), param=refusal.param)

    def _text_of(self, tokens: list[int]) -> str:
        if len(tokens) > MAX_TOKENS:
            message = f"{len(tokens)} tokens, at most {MAX_TOKENS} are turned into text at once: send fewer"
            raise _RefusalError(message, param="tokens")
        self._check_ids(tokens, param="tokens")
        raw = bytearray()
        for token in tokens:
            raw += self._model.piece(token, special=True)
            if len(raw) > MAX_DETOKENIZED_BYTES:
                message = f"the tokens make more than {MAX_DETOKENIZED_BYTES} bytes of text: send fewer"
                raise _RefusalError(message, param="tokens")
        return raw.decode("utf-8", "replace")
