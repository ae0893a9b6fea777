"""An engine that is loaded again with other settings, and what it falls back to when it cannot be."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from edge_agent.engine_client.listener import EndCause, EngineState
from edge_agent.errors import EngineUnavailableError
from edge_agent.protocol import LoadFailed
from tests.engine_client.conftest import Bench, StartClient, child_pids, make_request
from tests.engine_client.scripted_engine import (
    READY,
    AnyInstruction,
    Await,
    Exit,
    Say,
    Serve,
    make_settings,
)

FIRST = make_settings(repack=True)
SECOND = make_settings(repack=False)
SERVING: list[AnyInstruction] = [READY, Serve()]
ENDLESS: list[AnyInstruction] = [READY, Serve(is_endless=True)]


def told(bench: Bench) -> list[Any]:
    """`repack` of each process."""
    return [command["settings"]["repack"] for command in bench.commands("load")]


async def answer(bench: Bench) -> int:
    """How many items an answer has."""
    return len([item async for item in await bench.client.submit(make_request())])


async def ready_again(bench: Bench) -> None:
    await bench.listener.wait_until(lambda: len(bench.listener.models) == 2)


async def test_the_next_process_has_the_new_settings_and_answers(start_client: StartClient) -> None:
    bench = await start_client(SERVING, settings=FIRST)
    await bench.client.wait_settled()
    assert bench.client.reload(SECOND)
    await ready_again(bench)
    assert told(bench) == [True, False]
    assert bench.client.settings == SECOND
    assert await answer(bench) == 3
    assert len(child_pids()) == 1


async def test_a_reload_is_no_end_that_counts(start_client: StartClient, caplog: pytest.LogCaptureFixture) -> None:
    bench = await start_client(SERVING, settings=FIRST)
    await bench.client.wait_settled()
    bench.client.reload(SECOND)
    await ready_again(bench)
    assert bench.listener.causes == []
    assert [record.levelname for record in caplog.records if record.levelname in {"WARNING", "ERROR"}] == []


async def test_a_request_that_comes_meanwhile_is_told_when_to_come_again(start_client: StartClient) -> None:
    bench = await start_client(SERVING, [Await("stop")], settings=FIRST)
    await bench.client.wait_settled()
    bench.client.reload(SECOND)
    assert bench.client.state is EngineState.LOADING
    with pytest.raises(EngineUnavailableError, match="the model is being loaded") as raised:
        await bench.client.submit(make_request())
    assert raised.value.retry_after_seconds >= 1


async def test_nothing_is_reloaded_while_anything_is_asked(start_client: StartClient) -> None:
    bench = await start_client(ENDLESS, settings=FIRST)
    await bench.client.wait_settled()
    generation = await bench.client.submit(make_request())
    assert not bench.client.reload(SECOND)
    assert bench.client.settings == FIRST
    generation.cancel()
    await bench.client.wait_idle()
    assert bench.client.reload(SECOND)
    await ready_again(bench)


async def test_nothing_is_reloaded_while_a_text_is_tokenised(start_client: StartClient) -> None:
    bench = await start_client([READY, Await("stop")], settings=FIRST)
    await bench.client.wait_settled()
    tokenizing = asyncio.create_task(bench.client.tokenize("text", add_special=False, parse_special=False))
    await asyncio.sleep(0)
    assert not bench.client.reload(SECOND)
    tokenizing.cancel()


async def test_nothing_is_reloaded_before_the_model_is_loaded_or_after_the_end(start_client: StartClient) -> None:
    bench = await start_client([Await("stop")], settings=FIRST)
    assert not bench.client.reload(SECOND)
    await bench.client.stop()
    assert not bench.client.reload(SECOND)


@pytest.mark.parametrize(
    "failing",
    [[Say(LoadFailed("too little memory"))], [Exit(1)]],
    ids=["refused", "died"],
)
async def test_settings_that_cannot_be_loaded_give_way_to_the_former_ones(
    start_client: StartClient, failing: list[AnyInstruction]
) -> None:
    bench = await start_client(SERVING, failing, SERVING, settings=FIRST)
    await bench.client.wait_settled()
    bench.client.reload(SECOND)
    await ready_again(bench)
    assert told(bench) == [True, False, True]
    assert bench.client.settings == FIRST
    assert bench.listener.causes == [EndCause.LOAD_FAILED]
    assert await answer(bench) == 3


async def test_a_client_may_be_given_settings_to_fall_back_to(start_client: StartClient) -> None:
    bench = await start_client([Say(LoadFailed("too little memory"))], SERVING, settings=SECOND, fallback=FIRST)
    await bench.listener.wait_until(lambda: len(bench.listener.models) == 1)
    assert told(bench) == [False, True]
    assert (bench.client.state, bench.client.load_error) == (EngineState.READY, None)


async def test_former_settings_that_fail_too_are_final(start_client: StartClient) -> None:
    bench = await start_client([Say(LoadFailed("no such file"))], settings=SECOND, fallback=FIRST)
    await bench.listener.wait_until(lambda: len(bench.listener.causes) == 2)
    await bench.client.wait_settled()
    assert told(bench) == [False, True]
    assert (bench.client.state, bench.client.load_error) == (EngineState.LOAD_FAILED, "no such file")


async def test_settings_that_were_loaded_once_stay_when_the_engine_dies(start_client: StartClient) -> None:
    bench = await start_client(SERVING, [READY, Exit(1)], SERVING, settings=FIRST)
    await bench.client.wait_settled()
    bench.client.reload(SECOND)
    await bench.listener.wait_until(lambda: len(bench.listener.models) == 3)
    assert told(bench) == [True, False, False]


async def test_stopping_during_a_reload_leaves_nothing(start_client: StartClient) -> None:
    bench = await start_client(SERVING, [Await("stop")], settings=FIRST)
    await bench.client.wait_settled()
    bench.client.reload(SECOND)
    await bench.client.stop()
    assert bench.client.state is EngineState.STOPPED
    assert child_pids() == set()


async def test_a_client_tells_when_it_is_asked_and_when_all_is_answered(start_client: StartClient) -> None:
    bench = await start_client(SERVING)
    await bench.client.wait_settled()
    await bench.client.wait_idle()
    busy = asyncio.create_task(bench.client.wait_busy())
    generation = await bench.client.submit(make_request())
    await busy
    idle = asyncio.create_task(bench.client.wait_idle())
    assert len([item async for item in generation]) == 3
    await idle
