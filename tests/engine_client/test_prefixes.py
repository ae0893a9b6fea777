"""Prefixes through the client to an engine process and back."""

from __future__ import annotations

import asyncio

import pytest

from edge_agent.disk_prefix import DiskPrefix
from edge_agent.engine_client.client import EngineClient, PinnedPrefix
from edge_agent.errors import (
    ContextLengthError,
    EngineLostError,
    EngineUnavailableError,
    InvalidRequestError,
    PrefixNotFoundError,
    PrefixStorageError,
    QueueFullError,
)
from edge_agent.protocol import Accepted, Prefixes, RefusalKind, Refused, SequenceReport, TextPrompt
from tests.engine_client.conftest import Bench, StartClient, make_request
from tests.engine_client.scripted_engine import (
    READY,
    AnyInstruction,
    Await,
    Exit,
    Hang,
    Reply,
    Say,
    Serve,
    make_report,
    make_settings,
)

SYSTEM = DiskPrefix("system", "system", num_tokens=4, num_bytes=1000, is_pinned=True, created=0)


async def ready(start_client: StartClient, *lives: list[AnyInstruction], queue_size: int = 2) -> Bench:
    bench = await start_client(*lives, settings=make_settings(max_sequences=1), queue_size=queue_size)
    await bench.client.wait_settled()
    return bench


async def pin(client: EngineClient, name: str | None = "system") -> PinnedPrefix:
    return await client.pin_prefix(TextPrompt("Be brief."), name=name, arrived=1.0)


async def test_a_prefix_is_pinned_listed_and_dropped(start_client: StartClient) -> None:
    client = (await ready(start_client, [READY, Serve()])).client
    assert await pin(client) == PinnedPrefix(SYSTEM, is_new=True)
    assert await pin(client) == PinnedPrefix(SYSTEM, is_new=False)
    assert await client.list_prefixes() == [SYSTEM]
    await client.drop_prefix("system")
    assert await client.list_prefixes() == []
    with pytest.raises(PrefixNotFoundError, match=r"'system'.*GET /prefixes"):
        await client.drop_prefix("system")


async def test_the_engine_is_told_what_to_pin(start_client: StartClient) -> None:
    bench = await ready(start_client, [READY, Serve()])
    await pin(bench.client)
    (command,) = bench.commands("pin_prefix")
    assert command["prompt"] == {"type": "text", "text": "Be brief."}
    assert (command["name"], command["arrived"]) == ("system", 1.0)


async def test_a_pin_is_open_until_it_is_on_the_disk(start_client: StartClient) -> None:
    # The prefix is said to be there when the agent has sent `list_prefixes`, after it was seen to be open.
    lives: list[AnyInstruction] = [
        READY,
        Await("pin_prefix"),
        Reply(Accepted(1, 4)),
        Say(make_report(SequenceReport(id=1))),
        Await("list_prefixes"),
        Say(Prefixes(1, [SYSTEM], is_new=True)),
        Say(Prefixes(2, [SYSTEM])),
        Serve(),
    ]
    bench = await ready(start_client, lives, queue_size=0)
    pinning = asyncio.create_task(pin(bench.client))
    await bench.listener.wait_until(lambda: bench.client.num_running == 1)
    with pytest.raises(QueueFullError):
        await bench.client.submit(make_request())
    assert not pinning.done()
    with pytest.raises(QueueFullError):
        await pin(bench.client)
    listing = asyncio.create_task(bench.client.list_prefixes())
    assert await pinning == PinnedPrefix(SYSTEM, is_new=True)
    assert await listing == [SYSTEM]
    assert (bench.client.num_running, bench.client.num_waiting) == (0, 0)
    assert bench.listener.finishes == []


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (Refused(0, RefusalKind.INVALID, "the template refused", param="messages"), InvalidRequestError),
        (
            Refused(0, RefusalKind.CONTEXT_LENGTH, "too long", num_prompt_tokens=300, context_length=256),
            ContextLengthError,
        ),
    ],
)
async def test_what_the_intake_refuses_is_raised_and_over(
    start_client: StartClient, refusal: Refused, error: type[Exception]
) -> None:
    client = (await ready(start_client, [READY, Serve(refusal=refusal)])).client
    with pytest.raises(error, match=refusal.message):
        await pin(client)
    assert (client.num_running, client.num_waiting) == (0, 0)


async def test_a_full_disk_is_raised_and_over(start_client: StartClient) -> None:
    lives: list[AnyInstruction] = [
        READY,
        Await("pin_prefix"),
        Reply(Accepted(1, 4)),
        Say(Refused(1, RefusalKind.STORAGE, "the disk is full")),
        Serve(),
    ]
    client = (await ready(start_client, lives)).client
    with pytest.raises(PrefixStorageError, match="the disk is full"):
        await pin(client)
    assert client.num_waiting == 0


async def test_a_client_that_leaves_has_its_pin_cancelled_and_counted_until_the_engine_gave_it_up(
    start_client: StartClient,
) -> None:
    lives: list[AnyInstruction] = [
        READY,
        Await("pin_prefix"),
        Reply(Accepted(1, 4)),
        Say(make_report(SequenceReport(id=1))),
        Await("cancel"),
        Say(Refused(1, RefusalKind.INVALID, "given up")),
        Serve(),
    ]
    bench = await ready(start_client, lives)
    pinning = asyncio.create_task(pin(bench.client))
    await bench.listener.wait_until(lambda: bench.client.num_running == 1)
    pinning.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pinning
    await bench.listener.wait_until(lambda: bench.client.num_running == 0)
    assert await bench.client.list_prefixes() == []
    assert [command["id"] for command in bench.commands("cancel")] == [1]


@pytest.mark.parametrize("is_accepted", [False, True])
async def test_an_engine_that_ends_loses_its_pins(start_client: StartClient, *, is_accepted: bool) -> None:
    accepted: list[AnyInstruction] = [Reply(Accepted(1, 4))] if is_accepted else []
    client = (await ready(start_client, [READY, Await("pin_prefix"), *accepted, Exit(3)], [Hang()])).client
    with pytest.raises(EngineLostError, match="crash"):
        await pin(client)
    with pytest.raises(EngineUnavailableError):
        await pin(client)


async def test_an_engine_that_ends_loses_who_asked_for_a_list(start_client: StartClient) -> None:
    client = (await ready(start_client, [READY, Await("list_prefixes"), Exit(3)], [Hang()])).client
    with pytest.raises(EngineLostError, match="crash"):
        await client.list_prefixes()
    with pytest.raises(EngineUnavailableError):
        await client.list_prefixes()
    with pytest.raises(EngineUnavailableError):
        await client.drop_prefix("system")
