from __future__ import annotations

import asyncio
import logging
import socket
from pathlib import Path

import pytest

from edge_agent.config import RemoteWriteEndpoint, RemoteWriteSection
from edge_agent.telemetry.exposition import ExposedSeries
from edge_agent.telemetry.remote_write.back_off import BackOff
from edge_agent.telemetry.remote_write.remote_write import RemoteWrite
from edge_agent.telemetry.target_labels import TargetLabels
from edge_agent.telemetry.telemetry import Telemetry
from tests.telemetry.remote_write.decoded import DecodedSample
from tests.telemetry.remote_write.scripted_receiver import Reply, ScriptedReceiver, receiving, until
from tests.telemetry.scripted_engine import FakeClock, scrape, telemetry_of

# 2027-01-15T08:00:00Z.
NOW = 1_800_000_000.0


class Rounds:
    """The pause between rounds, as long as the test wants. Two clocks advance with it, when it does not say else."""

    def __init__(self) -> None:
        self.wall_clock = FakeClock(NOW)
        self.monotonic_clock = FakeClock(100.0)
        self._turns = asyncio.Semaphore(0)
        self.pauses: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await self._turns.acquire()

    def next(self, *, seconds: float = 15.0) -> None:
        """Let the next round begin, this much later."""
        self.wall_clock.now += seconds
        self.monotonic_clock.now += seconds
        self._turns.release()


def remote_write_of(
    telemetry: Telemetry,
    rounds: Rounds,
    *urls: str,
    max_queue_samples: int = 100_000,
    close_seconds: float = 10.0,
    token_file: Path | None = None,
) -> RemoteWrite:
    endpoints = tuple(
        RemoteWriteEndpoint(url=url, bearer_token_file=None if token_file is None else str(token_file)) for url in urls
    )
    section = RemoteWriteSection(interval_seconds=15.0, max_queue_samples=max_queue_samples, endpoints=endpoints)
    return RemoteWrite(
        section,
        series=ExposedSeries(telemetry.registry),
        labels=TargetLabels("edge-1", {"site": "lab"}),
        metrics=telemetry.metrics,
        version="9.8.7",
        back_off=BackOff(first_seconds=0.001, max_seconds=0.001),
        close_seconds=close_seconds,
        wall_clock=rounds.wall_clock,
        monotonic_clock=rounds.monotonic_clock,
        sleep=rounds.sleep,
    )


def waiting_requests(server: ScriptedReceiver) -> list[list[DecodedSample]]:
    return [sent.samples for sent in server.sent]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_every_round_is_pushed_with_the_time_at_which_it_was_taken() -> None:
    telemetry, rounds = telemetry_of(), Rounds()
    async with receiving() as server:
        push = remote_write_of(telemetry, rounds, server.url)
        await push.start()
        await until(lambda: len(server.sent) == 1)
        telemetry.service.http_started()
        rounds.next()
        await until(lambda: len(server.sent) == 2)
        first, second = waiting_requests(server)
        await push.close()
    assert {sample.timestamp_ms for sample in first} == {1_800_000_000_000}
    assert {sample.timestamp_ms for sample in second} == {1_800_000_015_000}
    name = "edge_agent_http_requests_in_flight"
    assert [sample.value for sent in (first, second) for sample in sent if sample.name == name] == [0.0, 1.0]
    assert rounds.pauses[:2] == [15.0, 15.0]


async def test_at_the_end_the_last_samples_are_sent_and_then_the_end_of_every_series() -> None:
    telemetry, rounds = telemetry_of(), Rounds()
    async with receiving() as server:
        push = remote_write_of(telemetry, rounds, server.url)
        await push.start()
        await until(lambda: len(server.sent) == 1)
        rounds.wall_clock.now += 4
        await push.close()
        await push.close()
    _, last, ends = waiting_requests(server)
    assert {sample.timestamp_ms for sample in last} == {1_800_000_004_000}
    assert {sample.timestamp_ms for sample in ends} == {1_800_000_004_001}
    assert not any(sample.is_stale for sample in last)
    assert all(sample.is_stale for sample in ends)
    assert [sample.labels for sample in ends] == [sample.labels for sample in last]


async def test_two_rounds_never_have_the_same_time() -> None:
    telemetry, rounds = telemetry_of(), Rounds()
    async with receiving() as server:
        push = remote_write_of(telemetry, rounds, server.url)
        await push.start()
        await until(lambda: len(server.sent) == 1)
        await push.close()
    times = [{sample.timestamp_ms for sample in sent.samples} for sent in server.sent]
    assert times == [{1_800_000_000_000}, {1_800_000_000_001}, {1_800_000_000_002}]


async def test_rounds_keep_their_beat_and_those_that_were_missed_are_not_made_up_for() -> None:
    telemetry, rounds = telemetry_of(), Rounds()
    async with receiving() as server:
        push = remote_write_of(telemetry, rounds, server.url)
        await push.start()
        for number, seconds in enumerate((18.0, 100.0), start=1):
            await until(lambda number=number: len(rounds.pauses) == number)  # type: ignore[misc]
            rounds.next(seconds=seconds)
        await until(lambda: len(rounds.pauses) == 3)
        await push.close()
    assert rounds.pauses == [15.0, 12.0, 15.0]


async def test_a_receiver_that_never_answers_delays_the_end_for_a_bounded_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    telemetry, rounds = telemetry_of(), Rounds()
    async with receiving(Reply(is_hanging=True)) as server:
        push = remote_write_of(telemetry, rounds, server.url, close_seconds=0.05)
        await push.start()
        await until(lambda: len(server.sent) == 1)
        await asyncio.wait_for(push.close(), 20)
    assert caplog.messages[-1].startswith("the agent ends before all samples are sent receiver=http://127.0.0.1:")


async def test_after_an_outage_what_waited_comes_oldest_first() -> None:
    telemetry, rounds = telemetry_of(), Rounds()
    async with receiving(Reply(status=503)) as server:
        push = remote_write_of(telemetry, rounds, server.url)
        await push.start()
        await until(lambda: len(rounds.pauses) == 1)
        for number in (1, 2):
            rounds.next()
            await until(lambda number=number: len(rounds.pauses) > number)  # type: ignore[misc]
        server.replies = [Reply()]
        await until(lambda: scrape(telemetry)["remote_write_spool_samples"] == 0)
        assert scrape(telemetry)["remote_write_oldest_unsent_timestamp_seconds"] == 0
        await push.close()
    times = [sent.samples[0].timestamp_ms for sent in server.sent]
    assert times == sorted(times)
    assert list(dict.fromkeys(times))[:3] == [1_800_000_000_000, 1_800_000_015_000, 1_800_000_030_000]


async def test_one_receivers_outage_is_not_the_others() -> None:
    telemetry, rounds = telemetry_of(), Rounds()
    async with receiving() as server:
        push = remote_write_of(telemetry, rounds, f"http://127.0.0.1:{free_port()}/", server.url, close_seconds=0.5)
        await push.start()
        await until(lambda: len(server.sent) == 1)
        await until(lambda: scrape(telemetry).get('remote_write_requests_total{code="network_error"}', 0) > 2)
        shown = scrape(telemetry)
        num_samples = len(server.sent[0].samples)
        assert shown["remote_write_spool_samples"] == num_samples
        assert shown["remote_write_oldest_unsent_timestamp_seconds"] == NOW
        assert shown['remote_write_samples_total{result="sent"}'] == num_samples
        await push.close()


async def test_a_full_queue_loses_its_oldest_samples_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    telemetry, rounds = telemetry_of(), Rounds()
    async with receiving(Reply(status=503)) as server:
        push = remote_write_of(telemetry, rounds, server.url, max_queue_samples=1, close_seconds=0.05)
        await push.start()
        await until(lambda: len(rounds.pauses) == 1)
        for number in (1, 2, 3):
            rounds.next()
            await until(lambda number=number: len(rounds.pauses) > number)  # type: ignore[misc]
        shown = scrape(telemetry)
        assert shown["remote_write_oldest_unsent_timestamp_seconds"] == NOW + 45
        assert shown['remote_write_samples_total{result="dropped_full"}'] > 2 * shown["remote_write_spool_samples"]
        await push.close()
    assert sum("the queue of a receiver is full" in message for message in caplog.messages) == 1


async def test_until_the_clock_is_set_no_samples_are_taken(caplog: pytest.LogCaptureFixture) -> None:
    telemetry, rounds = telemetry_of(), Rounds()
    rounds.wall_clock.now = 60.0
    with caplog.at_level(logging.INFO, logger="edge_agent"):
        async with receiving() as server:
            push = remote_write_of(telemetry, rounds, server.url)
            await push.start()
            await until(lambda: len(rounds.pauses) == 1)
            rounds.next()
            await until(lambda: len(rounds.pauses) == 2)
            assert scrape(telemetry)["remote_write_spool_samples"] == 0
            rounds.wall_clock.now = NOW
            rounds.next()
            await until(lambda: len(server.sent) == 1)
            await push.close()
    assert {sample.timestamp_ms for sample in server.sent[0].samples} == {1_800_000_015_000}
    assert caplog.messages == [
        "samples are not taken until the clock is set, it says a time before 2025 clock=60",
        "the clock is set, samples are taken",
    ]


async def test_an_agent_whose_clock_was_never_set_ends_without_a_push() -> None:
    telemetry, rounds = telemetry_of(), Rounds()
    rounds.wall_clock.now = 60.0
    async with receiving() as server:
        push = remote_write_of(telemetry, rounds, server.url)
        await push.start()
        await until(lambda: len(rounds.pauses) == 1)
        await push.close()
    assert server.sent == []


async def test_a_clock_that_goes_back_is_told(caplog: pytest.LogCaptureFixture) -> None:
    telemetry, rounds = telemetry_of(), Rounds()
    async with receiving() as server:
        push = remote_write_of(telemetry, rounds, server.url)
        await push.start()
        await until(lambda: len(rounds.pauses) == 1)
        rounds.wall_clock.now -= 100
        rounds.next(seconds=15)
        await until(lambda: len(server.sent) == 2)
        await push.close()
    assert caplog.messages == [
        "the clock went back; receivers that take samples in order refuse them until it has caught up seconds=85.000"
    ]


async def test_a_credential_that_comes_later_is_waited_for_and_missed_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    telemetry, rounds, token_file = telemetry_of(), Rounds(), tmp_path / "token"
    async with receiving() as server:
        push = remote_write_of(telemetry, rounds, server.url, token_file=token_file)
        await push.start()
        await until(lambda: scrape(telemetry).get('remote_write_requests_total{code="network_error"}', 0) > 2)
        # Atomically: a file that is there but empty is another problem.
        token_file.with_suffix(".new").write_text("secret")
        token_file.with_suffix(".new").rename(token_file)
        await until(lambda: len(server.sent) == 1)
        await push.close()
    assert server.sent[0].headers["Authorization"] == "Bearer secret"
    assert sum("bearer_token_file" in message for message in caplog.messages) == 1
    assert "secret" not in caplog.text


async def test_where_there_is_no_receiver_nothing_runs() -> None:
    telemetry, rounds = telemetry_of(), Rounds()
    tasks = asyncio.all_tasks()
    push = remote_write_of(telemetry, rounds)
    await push.start()
    assert asyncio.all_tasks() == tasks
    await push.close()
    assert scrape(telemetry)['remote_write_samples_total{result="sent"}'] == 0


async def test_nothing_is_left_behind() -> None:
    telemetry, rounds = telemetry_of(), Rounds()
    async with receiving() as server:
        tasks = asyncio.all_tasks()
        push = remote_write_of(telemetry, rounds, server.url, f"http://127.0.0.1:{free_port()}/", close_seconds=0.1)
        await push.start()
        await until(lambda: len(server.sent) == 1)
        await push.close()
        await until(lambda: asyncio.all_tasks() <= tasks)
