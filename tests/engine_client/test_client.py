"""Requests through the client to an engine process and back."""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time

import pytest

from edge_agent.engine_client.generation import Generation
from edge_agent.engine_client.listener import EngineState
from edge_agent.engine_client.watch_limits import WatchLimits
from edge_agent.errors import (
    ContextLengthError,
    EngineLostError,
    EngineUnavailableError,
    InvalidRequestError,
    QueueFullError,
)
from edge_agent.protocol import (
    Accepted,
    Finished,
    FinishReason,
    RefusalKind,
    Refused,
    SequenceReport,
    Tokenized,
)
from tests.engine_client.conftest import StartClient, child_pids, make_request
from tests.engine_client.scripted_engine import (
    MODEL,
    READY,
    Await,
    Hang,
    Reply,
    Say,
    Serve,
    make_finished,
    make_report,
    make_settings,
)

ENDLESS = Serve(is_endless=True)


async def texts_of(generation: Generation) -> list[str]:
    return [item.text async for item in generation if isinstance(item, SequenceReport)]


async def reason_of(generation: Generation) -> FinishReason:
    items = [item async for item in generation]
    assert isinstance(items[-1], Finished)
    return items[-1].reason


# --- answers -----------------------------------------------------------------------------------------------------


async def test_a_ready_engine_makes_the_model_known(start_client: StartClient) -> None:
    bench = await start_client([READY, Serve()])
    await bench.client.wait_settled()
    assert bench.client.state is EngineState.READY
    assert bench.client.model == MODEL
    assert bench.client.load_progress == 1.0
    assert bench.client.load_error is None
    assert bench.listener.models == [MODEL]


async def test_the_engine_is_told_its_settings_first(start_client: StartClient) -> None:
    bench = await start_client([READY, Serve()])
    await bench.client.wait_settled()
    (load,) = bench.commands("load")
    assert load["settings"]["model_path"] == "model.gguf"
    assert load["settings"]["max_sequences"] == 2


async def test_an_answer_is_its_reports_then_finished(start_client: StartClient) -> None:
    bench = await start_client([READY, Serve(texts=("One", " two"), num_prompt_tokens=7)])
    await bench.client.wait_settled()
    generation = await bench.client.submit(make_request())
    assert (generation.id, generation.num_prompt_tokens) == (1, 7)
    items = [item async for item in generation]
    assert [item.text for item in items[:2]] == ["One", " two"]
    assert isinstance(items[2], Finished)
    assert items[2].reason is FinishReason.STOP
    assert len(items) == 3
    assert bench.listener.finishes == [items[2]]


async def test_a_finished_answer_stays_finished(start_client: StartClient) -> None:
    bench = await start_client([READY, Serve()])
    await bench.client.wait_settled()
    generation = await bench.client.submit(make_request())
    assert await reason_of(generation) is FinishReason.STOP
    generation.cancel()
    assert [item async for item in generation] == []
    await bench.client.stop()
    assert bench.commands("cancel") == []


async def test_what_the_client_asked_for_reaches_the_engine(start_client: StartClient) -> None:
    bench = await start_client([READY, Serve()])
    await bench.client.wait_settled()
    generation = await bench.client.submit(make_request("Hi", max_tokens=1, stop=["END"], num_logprobs=3))
    assert await reason_of(generation) is FinishReason.LENGTH
    (submit,) = bench.commands("submit")
    assert submit["prompt"] == {"type": "text", "text": "Hi"}
    assert (submit["arrived"], submit["max_tokens"], submit["stop"]) == (1.0, 1, ["END"])
    assert (submit["ignore_eos"], submit["num_logprobs"]) == (False, 3)


async def test_reports_and_finished_read_before_accepted_are_not_lost(start_client: StartClient) -> None:
    # The engine answers only after the agent has read Finished: `tokenize` is the agent's sign that it did.
    bench = await start_client(
        [
            READY,
            Await("submit"),
            Say(make_report(SequenceReport(id=1, text="early", tokens=[5]))),
            Say(make_finished(1)),
            Await("tokenize"),
            Reply(Accepted(1, 9)),
            Reply(Tokenized(2, [], [])),
            Serve(),
        ]
    )
    await bench.client.wait_settled()
    submission = asyncio.create_task(bench.client.submit(make_request()))
    await bench.listener.wait_until(lambda: len(bench.listener.finishes) == 1)
    assert not submission.done()
    await bench.client.tokenize("", add_special=False, parse_special=False)
    generation = await submission
    assert generation.num_prompt_tokens == 9
    assert await texts_of(generation) == ["early"]
    assert (bench.client.num_running, bench.client.num_waiting) == (0, 0)


async def test_two_answers_do_not_mix(start_client: StartClient) -> None:
    bench = await start_client([READY, Serve(texts=("a", "b", "c"))])
    await bench.client.wait_settled()
    generations = [await bench.client.submit(make_request()) for _ in range(2)]
    assert [await texts_of(generation) for generation in generations] == [["a", "b", "c"], ["a", "b", "c"]]


# --- refusals ----------------------------------------------------------------------------------------------------


async def test_a_prompt_that_does_not_fit_is_refused_with_both_numbers(start_client: StartClient) -> None:
    refusal = Refused(0, RefusalKind.CONTEXT_LENGTH, "too long", num_prompt_tokens=300, context_length=256)
    bench = await start_client([READY, Serve(refusal=refusal)])
    await bench.client.wait_settled()
    with pytest.raises(ContextLengthError, match="too long") as raised:
        await bench.client.submit(make_request())
    assert (raised.value.num_prompt_tokens, raised.value.context_length) == (300, 256)
    assert bench.listener.counts == [(0, 1), (0, 0)]


async def test_an_invalid_request_is_refused_with_its_parameter(start_client: StartClient) -> None:
    bench = await start_client([READY, Serve(refusal=Refused(0, RefusalKind.INVALID, "no such role", "messages"))])
    await bench.client.wait_settled()
    with pytest.raises(InvalidRequestError, match="no such role") as raised:
        await bench.client.submit(make_request())
    assert raised.value.param == "messages"


@pytest.mark.parametrize("text", ["\ud800", "x" * (64 * 1024 * 1024)], ids=["lone surrogate", "too large"])
async def test_text_that_makes_no_frame_is_refused_and_leaves_nothing_open(
    start_client: StartClient, text: str
) -> None:
    bench = await start_client([READY, Serve()])
    await bench.client.wait_settled()
    with pytest.raises(InvalidRequestError):
        await bench.client.submit(make_request(text))
    assert bench.client.num_waiting == 0


async def test_one_request_more_than_run_and_wait_is_refused_without_asking_the_engine(
    start_client: StartClient,
) -> None:
    bench = await start_client([READY, ENDLESS], settings=make_settings(max_sequences=1), queue_size=2)
    await bench.client.wait_settled()
    generations = [await bench.client.submit(make_request()) for _ in range(3)]
    with pytest.raises(QueueFullError) as raised:
        await bench.client.submit(make_request())
    assert raised.value.retry_after_seconds > 0
    generations[2].cancel()
    await bench.listener.wait_until(lambda: len(bench.listener.finishes) == 1)
    bench.client.check_capacity()
    assert len(bench.commands("submit")) == 3


async def test_a_request_before_the_model_is_loaded_is_asked_to_come_again(start_client: StartClient) -> None:
    bench = await start_client([Hang()], limits=WatchLimits(stop_seconds=0.01))
    with pytest.raises(EngineUnavailableError, match="being loaded") as raised:
        await bench.client.submit(make_request())
    assert 1 <= raised.value.retry_after_seconds <= 60


async def test_a_request_after_stop_is_refused(start_client: StartClient) -> None:
    bench = await start_client([READY, Serve()])
    await bench.client.wait_settled()
    await bench.client.stop()
    with pytest.raises(EngineUnavailableError, match="shutting down"):
        bench.client.check_capacity()


# --- tokens and text ---------------------------------------------------------------------------------------------


async def test_text_is_tokenized_and_tokens_are_detokenized(start_client: StartClient) -> None:
    bench = await start_client([READY, Serve()])
    await bench.client.wait_settled()
    tokenized = await bench.client.tokenize("hé", add_special=True, parse_special=False)
    assert tokenized.tokens == [104, 195, 169]
    assert tokenized.pieces == [b"h", b"\xc3", b"\xa9"]
    assert await bench.client.detokenize([104, 195, 169]) == "hé"
    (command,) = bench.commands("tokenize")
    assert (command["add_special"], command["parse_special"]) == (True, False)


async def test_a_token_outside_the_vocabulary_is_refused(start_client: StartClient) -> None:
    bench = await start_client([READY, Serve()])
    await bench.client.wait_settled()
    with pytest.raises(InvalidRequestError, match="outside the vocabulary") as raised:
        await bench.client.detokenize([256])
    assert raised.value.param == "tokens"


# --- cancellation ------------------------------------------------------------------------------------------------


async def test_a_client_gone_before_accepted_cancels_its_request(start_client: StartClient) -> None:
    bench = await start_client(
        [READY, Await("submit"), Await("cancel"), Reply(Accepted(1, 4)), Say(make_finished(1)), Serve()]
    )
    await bench.client.wait_settled()
    submission = asyncio.create_task(bench.client.submit(make_request()))
    await bench.listener.wait_until(lambda: bench.listener.counts == [(0, 1)])
    submission.cancel()
    with pytest.raises(asyncio.CancelledError):
        await submission
    assert bench.client.num_waiting == 1
    await bench.listener.wait_until(lambda: bench.listener.counts == [(0, 1), (0, 0)])
    assert [command["id"] for command in bench.commands("cancel")] == [1]
    assert await texts_of(await bench.client.submit(make_request())) == ["Hello", " world"]


async def test_cancel_ends_the_iteration_and_the_engine_is_told_once(start_client: StartClient) -> None:
    bench = await start_client([READY, ENDLESS])
    await bench.client.wait_settled()
    generation = await bench.client.submit(make_request())
    async for item in generation:
        assert isinstance(item, SequenceReport)
        generation.cancel()
        generation.cancel()
    assert bench.client.num_running == 1
    await bench.listener.wait_until(lambda: bench.listener.counts[-1] == (0, 0))
    assert bench.listener.finishes[0].reason is FinishReason.CANCELLED
    assert len(bench.commands("cancel")) == 1


async def test_cancel_wakes_a_consumer_that_waits(start_client: StartClient) -> None:
    bench = await start_client([READY, Await("submit"), Reply(Accepted(1, 4)), Await("cancel"), Say(make_finished(1))])
    await bench.client.wait_settled()
    generation = await bench.client.submit(make_request())
    consumer = asyncio.create_task(texts_of(generation))
    await asyncio.sleep(0)
    generation.cancel()
    assert await consumer == []


async def test_a_hundred_interleaved_cancellations_leave_nothing_open(start_client: StartClient) -> None:
    bench = await start_client([READY, Serve(texts=("a",) * 5)], settings=make_settings(max_sequences=3), queue_size=97)
    await bench.client.wait_settled()
    chance = random.Random(7)

    async def ask() -> None:
        generation = await bench.client.submit(make_request())
        num_wanted = chance.randrange(7)
        async for _ in generation:
            num_wanted -= 1
            if num_wanted < 0:
                generation.cancel()

    asking = [asyncio.create_task(ask()) for _ in range(100)]
    for number, task in enumerate(asking):
        if number % 3 == 0:
            task.cancel()
        if number % 7 == 0:
            await asyncio.sleep(0)
    await asyncio.gather(*asking, return_exceptions=True)
    await bench.listener.wait_until(lambda: bench.listener.counts[-1] == (0, 0))
    assert len(bench.listener.finishes) == len(bench.commands("submit"))
    assert await texts_of(await bench.client.submit(make_request())) == ["a"] * 5


# --- counts ------------------------------------------------------------------------------------------------------


async def test_requests_wait_until_a_step_computes_them(start_client: StartClient) -> None:
    bench = await start_client(
        [
            READY,
            Await("submit"),
            Reply(Accepted(1, 4)),
            Await("submit"),
            Reply(Accepted(2, 4)),
            Say(make_report(SequenceReport(id=1))),
            Say(make_report(SequenceReport(id=1), SequenceReport(id=2))),
            Say(make_finished(1)),
            Say(make_finished(2)),
            Serve(),
        ]
    )
    await bench.client.wait_settled()
    generations = [await bench.client.submit(make_request()) for _ in range(2)]
    assert [await reason_of(generation) for generation in generations] == [FinishReason.STOP, FinishReason.STOP]
    assert bench.listener.counts == [(0, 1), (0, 2), (1, 1), (2, 0), (1, 0), (0, 0)]


async def test_idle_ticks_are_heard(start_client: StartClient) -> None:
    before = time.monotonic()
    bench = await start_client([READY, Serve(tick_seconds=0.01)])
    await bench.client.wait_settled()
    ready_at = bench.client.last_heard
    await bench.listener.wait_until(lambda: bench.listener.num_ticks == 2)
    assert before < ready_at < bench.client.last_heard <= time.monotonic()


# --- stop --------------------------------------------------------------------------------------------------------


def open_descriptors() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the listing's own descriptor is in both counts


async def test_stop_leaves_nothing_behind(start_client: StartClient) -> None:
    await asyncio.to_thread(lambda: None)  # the loop's own pool makes its threads before they are counted
    before = (open_descriptors(), asyncio.all_tasks(), child_pids(), threading.active_count())
    bench = await start_client([READY, ENDLESS])
    await bench.client.wait_settled()
    generation = await bench.client.submit(make_request())
    assert len(child_pids() - before[2]) == 1
    await bench.client.stop()
    await bench.client.stop()
    assert (open_descriptors(), asyncio.all_tasks(), child_pids(), threading.active_count()) == before
    assert bench.client.state is EngineState.STOPPED
    with pytest.raises(EngineLostError, match="stopped"):
        await texts_of(generation)
    assert bench.listener.causes == []
    assert bench.listener.counts[-1] == (0, 0)


async def test_a_stopped_client_does_not_start_again(start_client: StartClient) -> None:
    bench = await start_client([READY, Serve()])
    await bench.client.stop()
    await bench.client.start()
    await bench.client.wait_settled()
    assert bench.client.state is EngineState.STOPPED


async def test_an_engine_that_ignores_stop_is_killed(start_client: StartClient) -> None:
    children = child_pids()
    bench = await start_client([READY, Hang()], limits=WatchLimits(stop_seconds=0.05))
    await bench.client.wait_settled()
    await bench.client.stop()
    assert child_pids() == children
    assert bench.listener.causes == []


async def test_a_cancelled_supervision_takes_its_engine_with_it(start_client: StartClient) -> None:
    children = child_pids()
    bench = await start_client([READY, ENDLESS])
    await bench.client.wait_settled()
    generation = await bench.client.submit(make_request())
    (supervision,) = [task for task in asyncio.all_tasks() if task.get_name() == "engine supervision"]
    supervision.cancel()
    with pytest.raises(asyncio.CancelledError):
        await supervision
    assert child_pids() == children
    with pytest.raises(EngineLostError):
        await texts_of(generation)
