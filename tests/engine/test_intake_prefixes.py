"""The intake's part in prefixes: rendered and tokenised like a request, handed on without an answer to come."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue

import msgspec
import pytest

from edge_agent.engine.channel import Outlet
from edge_agent.engine.chat_template import CHATML, ChatTemplate, TemplateRefusedError
from edge_agent.engine.inbox import InboxItem, NewPin, StopLoop
from edge_agent.engine.intake import Intake
from edge_agent.engine.llama_model import LlamaModel
from edge_agent.frames import FrameDecoder
from edge_agent.protocol import (
    Accepted,
    Answer,
    ChatMessage,
    ChatPrompt,
    Command,
    DropPrefix,
    ListPrefixes,
    PinPrefix,
    RefusalKind,
    Refused,
    TextPrompt,
    TokenPrompt,
)

CONTEXT_LENGTH = 64
SYSTEM = ChatPrompt([ChatMessage("system", "Be brief.")])


@pytest.fixture(scope="module")
def model(smollm2_path: Path) -> Iterator[LlamaModel]:
    model = LlamaModel(
        str(smollm2_path), num_gpu_layers=0, mmap=True, mlock=False, repack=False, on_progress=lambda _: None
    )
    yield model
    model.close()


def serve(
    model: LlamaModel, *commands: Command, template: ChatTemplate | TemplateRefusedError | None = None
) -> tuple[list[Answer], list[InboxItem]]:
    """What the intake answers and hands on."""
    inbox: SimpleQueue[InboxItem] = SimpleQueue()
    here, there = socket.socketpair()
    with here, there:
        Intake(
            model=model,
            template=template or ChatTemplate(CHATML, bos_text="", eos_text=""),
            context_length=CONTEXT_LENGTH,
            answers=Outlet(there),
            inbox=inbox,
            interrupt=lambda _: None,
        ).serve(commands)
        there.shutdown(socket.SHUT_WR)
        data = b"".join(iter(lambda: here.recv(65536), b""))
    decoder = msgspec.msgpack.Decoder(Answer)
    items: list[InboxItem] = []
    while not isinstance(item := inbox.get_nowait(), StopLoop):
        items.append(item)
    return [decoder.decode(payload) for payload in FrameDecoder().feed(data)], items


def test_a_pin_has_the_tokens_that_every_conversation_begins_with(model: LlamaModel) -> None:
    answers, items = serve(model, PinPrefix(7, SYSTEM, 1.5, "system"))
    (pin,) = items
    assert isinstance(pin, NewPin)
    opening = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n"
    assert pin.sequence.tokens == model.tokenize(opening, add_special=True, parse_special=True)
    assert (pin.name, pin.sequence.id, pin.sequence.max_tokens, pin.sequence.arrived) == ("system", 7, 0, 1.5)
    assert answers == [Accepted(7, pin.sequence.num_prompt_tokens)]


def test_text_and_tokens_are_pinned_as_they_stand(model: LlamaModel) -> None:
    _, items = serve(model, PinPrefix(1, TextPrompt("Once upon"), 1.0), PinPrefix(2, TokenPrompt([5, 6]), 1.0))
    tokens = [item.sequence.tokens for item in items if isinstance(item, NewPin)]
    assert tokens == [model.tokenize("Once upon", add_special=True, parse_special=True), [5, 6]]


def test_a_prefix_that_leaves_no_room_is_refused_with_both_numbers(model: LlamaModel) -> None:
    answers, items = serve(model, PinPrefix(1, TokenPrompt([5] * 64), 1.0))
    (refused,) = answers
    assert isinstance(refused, Refused)
    assert (refused.kind, refused.num_prompt_tokens, refused.context_length) == (RefusalKind.CONTEXT_LENGTH, 64, 64)
    assert items == []


def test_what_cannot_be_rendered_or_read_is_refused_with_its_parameter(model: LlamaModel) -> None:
    answers, items = serve(
        model,
        PinPrefix(1, SYSTEM, 1.0),
        PinPrefix(2, TokenPrompt([10**9]), 1.0),
        PinPrefix(3, TokenPrompt([]), 1.0),
        template=ChatTemplate("{{ messages[-1].content }}", bos_text="", eos_text=""),
    )
    refused = [(answer.id, answer.kind, answer.param) for answer in answers if isinstance(answer, Refused)]
    assert refused == [
        (1, RefusalKind.INVALID, "messages"),
        (2, RefusalKind.INVALID, "prompt"),
        (3, RefusalKind.INVALID, "prompt"),
    ]
    assert items == []


def test_lists_and_drops_are_handed_on_to_be_answered_by_the_loop(model: LlamaModel) -> None:
    commands = (ListPrefixes(1), DropPrefix(2, "prefix-1"))
    assert serve(model, *commands) == ([], list(commands))
