from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from .load import Answer, BenchError, Figures, figures_of, measure
from .workload import Question, User

Script = Callable[[dict[str, Any]], list[dict[str, Any]]]


@asynccontextmanager
async def server(script: Script, *, status: int = 200) -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """A chat server that streams what the script says to each body; its URL, and the bodies that it got."""
    bodies: list[dict[str, Any]] = []

    async def chat(request: web.Request) -> web.StreamResponse:
        bodies.append(await request.json())
        response = web.StreamResponse(status=status, headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for event in script(bodies[-1]):
            await response.write(f"data: {json.dumps(event)}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response

    application = web.Application()
    application.router.add_post("/v1/chat/completions", chat)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}", bodies
    finally:
        await runner.cleanup()


def piece(text: str) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": text}}]}


def usage(num_tokens: int) -> dict[str, Any]:
    return {"choices": [], "usage": {"completion_tokens": num_tokens}}


def question(text: str, *, follows: bool = False) -> Question:
    return Question([{"role": "user", "content": text}], 2, follows=follows)


async def test_a_conversation_goes_on_with_the_answers_it_got() -> None:
    async with server(lambda _: [piece("a"), piece("b"), usage(2)]) as (url, bodies):
        await measure(url, [User([question("one"), question("two", follows=True), question("three")])])
    assert [[message["content"] for message in body["messages"]] for body in bodies] == [
        ["one"],
        ["one", "ab", "two"],
        ["three"],
    ]


async def test_everyone_is_asked_for_a_full_answer_at_temperature_0() -> None:
    async with server(lambda _: [piece("a"), usage(2)]) as (url, bodies):
        await measure(url, [User([question("one")])])
    asked = {name: bodies[0][name] for name in ("ignore_eos", "min_tokens", "max_tokens", "temperature")}
    assert asked == {"ignore_eos": True, "min_tokens": 2, "max_tokens": 2, "temperature": 0}


@pytest.mark.parametrize(
    ("events", "problem"),
    [
        ([piece("a"), usage(1)], "generated 1 tokens of 2"),
        ([usage(2)], "generated 2 tokens of 2"),
        ([piece("a"), {"error": {"message": "the engine ended"}}], "the stream broke off"),
    ],
)
async def test_an_answer_that_is_not_whole_ends_the_comparison(events: list[dict[str, Any]], problem: str) -> None:
    async with server(lambda _: events) as (url, _):
        with pytest.raises(BenchError, match=problem):
            await measure(url, [User([question("one")])])


async def test_who_intrudes_asks_when_all_others_have_their_first_text() -> None:
    users = [User([question("late")], intrudes=True), User([question("one")]), User([question("two")])]
    async with server(lambda _: [piece("a"), piece("b"), usage(2)]) as (url, bodies):
        await measure(url, users)
    asked = [body["messages"][0]["content"] for body in bodies]
    assert (sorted(asked[:2]), asked[2]) == (["one", "two"], "late")


async def test_a_refusal_ends_the_comparison_with_its_status() -> None:
    async with server(lambda _: [], status=503) as (url, _):
        with pytest.raises(BenchError, match="answered 503"):
            await measure(url, [User([question("one")])])


async def test_a_server_without_usage_is_believed_when_it_stopped_for_length() -> None:
    ended = {"choices": [{"delta": {}, "finish_reason": "length"}]}
    async with server(lambda _: [piece("a"), ended]) as (url, _):
        figures = await measure(url, [User([question("one")])])
    assert (figures.num_tokens, figures.num_prompt_tokens) == (2, 0)


async def test_a_server_that_breaks_off_ends_the_comparison() -> None:
    async with server(lambda _: []) as (url, _):
        pass
    with pytest.raises(BenchError, match="broke off"):
        await measure(url, [User([question("one")])])


def test_figures_are_of_all_answers_together() -> None:
    answers = [
        Answer(asked=0.0, pieces=[1.0, 1.5, 4.0], num_tokens=3, num_prompt_tokens=10),
        Answer(asked=0.5, pieces=[1.0, 1.25], num_tokens=2, num_prompt_tokens=20),
        Answer(asked=1.0, pieces=[4.0], num_tokens=1),
    ]
    assert figures_of(answers, wall_seconds=4.0) == Figures(
        tokens_per_second=1.5, first_token_seconds=1.0, longest_gap_seconds=2.5, wall_seconds=4.0,
        num_tokens=6, num_prompt_tokens=30,
    )  # fmt: skip
