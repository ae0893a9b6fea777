from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from edge_agent.telemetry.remote_write.answer import Answer
from edge_agent.telemetry.remote_write.back_off import BackOff
from edge_agent.telemetry.remote_write.push_metrics import PushMetrics
from edge_agent.telemetry.remote_write.queue import QueuedRequest, RequestQueue
from edge_agent.telemetry.remote_write.receiver import UnreachableError
from edge_agent.telemetry.remote_write.sender import Sender
from edge_agent.telemetry.remote_write.sender_log import SenderLog
from tests.telemetry.remote_write.scripted_receiver import until
from tests.telemetry.scripted_engine import FakeClock, scrape, telemetry_of

AWAY = UnreachableError("Connection refused")
TAKEN = Answer(204)


class ScriptedTaker:
    """Answers or fails in turn, the last one again and again, and notes what it was sent."""

    def __init__(self, *answers: Answer | Exception) -> None:
        self._answers = list(answers)
        self.bodies: list[bytes] = []

    async def send(self, body: bytes) -> Answer:
        self.bodies.append(body)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Sending:
    """A sender at work, its queue, and what was counted."""

    def __init__(self, taker: ScriptedTaker, *, back_off: BackOff) -> None:
        self.telemetry = telemetry_of()
        self.queue = RequestQueue(max_samples=100)
        metrics = PushMetrics(self.telemetry.metrics, [self.queue])
        log = SenderLog("http://receiver")
        self.sender = Sender(
            taker, self.queue, metrics=metrics, log=log, back_off=back_off, clock=FakeClock(5.0), jitter=lambda: 0.0
        )

    def counted(self) -> dict[str, float]:
        """Samples by result and requests by code, those that are not 0."""
        prefixes = ("remote_write_samples_total", "remote_write_requests_total")
        return {
            series.split('"')[1]: value
            for series, value in scrape(self.telemetry).items()
            if series.startswith(prefixes) and value
        }


@asynccontextmanager
async def sending(
    taker: ScriptedTaker, bodies: Sequence[bytes], *, back_off: BackOff | None = None
) -> AsyncIterator[Sending]:
    """A sender with these requests of ten samples in its queue, for the length of the block."""
    under_test = Sending(taker, back_off=back_off or BackOff(first_seconds=0.001, max_seconds=0.001))
    for number, body in enumerate(bodies):
        under_test.queue.append(QueuedRequest(body=body, num_samples=10, timestamp_ms=1000 * number))
    task = asyncio.create_task(under_test.sender.run())
    try:
        yield under_test
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def sent_empty(taker: ScriptedTaker, *bodies: bytes) -> dict[str, float]:
    """What is counted once nothing waits any more."""
    async with sending(taker, bodies) as under_test:
        await asyncio.wait_for(under_test.queue.wait_empty(), 20)
        return under_test.counted()


async def test_requests_are_sent_oldest_first() -> None:
    taker = ScriptedTaker(TAKEN)
    assert await sent_empty(taker, b"1", b"2", b"3") == {"sent": 30, "204": 3}
    assert taker.bodies == [b"1", b"2", b"3"]


async def test_what_comes_later_waits_while_the_oldest_is_sent_again() -> None:
    taker = ScriptedTaker(AWAY, Answer(503), Answer(429), TAKEN)
    assert await sent_empty(taker, b"1", b"2") == {
        "sent": 20,
        "network_error": 1,
        "503": 1,
        "429": 1,
        "204": 2,
    }
    assert taker.bodies == [b"1", b"1", b"1", b"1", b"2"]


async def test_a_receiver_that_is_away_is_tried_without_end() -> None:
    taker = ScriptedTaker(*[AWAY] * 50, TAKEN)
    assert await sent_empty(taker, b"1") == {"sent": 10, "network_error": 50, "204": 1}


async def test_a_refused_request_is_lost_and_told_once_with_the_receivers_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    taker = ScriptedTaker(Answer(400, "out of order sample 17"), Answer(400, "out of order sample 18"), TAKEN)
    with caplog.at_level(logging.WARNING):
        assert await sent_empty(taker, b"1", b"2", b"3") == {"dropped_rejected": 20, "400": 2, "sent": 10, "204": 1}
    assert caplog.messages == [
        "a receiver refuses samples, they are lost receiver=http://receiver code=400 samples=10 "
        "answer='out of order sample 17'"
    ]


async def test_ten_server_errors_in_a_row_cost_a_request_and_the_next_has_ten_of_its_own() -> None:
    taker = ScriptedTaker(*[Answer(500)] * 19, TAKEN)
    assert await sent_empty(taker, b"1", b"2") == {"dropped_rejected": 10, "500": 19, "sent": 10, "204": 1}
    assert taker.bodies == [b"1"] * 10 + [b"2"] * 10


async def test_an_outage_is_told_once_and_its_end_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        await sent_empty(ScriptedTaker(AWAY, AWAY, AWAY, TAKEN), *[b"body"] * 10)
    assert caplog.messages == [
        "samples wait, a receiver does not take them receiver=http://receiver problem=Connection refused",
        "a receiver takes samples again receiver=http://receiver",
    ]


async def test_a_link_that_drops_every_other_request_is_one_problem(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        flapping: list[Answer | Exception] = [AWAY, TAKEN]
        await sent_empty(ScriptedTaker(*flapping * 9, TAKEN), *[b"body"] * 10)
    assert caplog.messages == [
        "samples wait, a receiver does not take them receiver=http://receiver problem=Connection refused"
    ]


async def test_a_refusal_that_comes_back_after_it_was_over_is_told_again(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        await sent_empty(
            ScriptedTaker(Answer(401), *[TAKEN] * 4, Answer(401), Answer(401), TAKEN), *[b"1234567890"] * 8
        )
    assert [message.split(" receiver=")[0] for message in caplog.messages] == [
        "a receiver refuses samples, they are lost",
        "a receiver takes samples again",
        "a receiver refuses samples, they are lost",
    ]


async def test_a_redirect_is_told_with_the_remedy(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert await sent_empty(ScriptedTaker(Answer(307), TAKEN), b"1") == {"sent": 10, "307": 1, "204": 1}
    assert caplog.messages == [
        "samples wait, a receiver does not take them receiver=http://receiver "
        "problem=it answers 307; give in url the address that it redirects to"
    ]


async def test_an_error_that_nobody_foresaw_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    taker = ScriptedTaker(RuntimeError("a bug"), RuntimeError("a bug"), TAKEN)
    assert await sent_empty(taker, b"1") == {"sent": 10, "204": 1}
    assert [record.exc_info is not None for record in caplog.records if record.levelno == logging.ERROR] == [True]


async def test_a_status_that_nobody_knows_makes_no_series_of_its_own() -> None:
    assert await sent_empty(ScriptedTaker(Answer(418), Answer(417), TAKEN), b"1", b"2", b"3") == {
        "dropped_rejected": 20,
        "4xx": 2,
        "sent": 10,
        "204": 1,
    }


async def test_a_request_that_was_dropped_on_its_way_is_counted_as_dropped_only() -> None:
    class SlowTaker(ScriptedTaker):
        is_let_go = asyncio.Event()

        async def send(self, body: bytes) -> Answer:
            answer = await super().send(body)
            await self.is_let_go.wait()
            return answer

    taker = SlowTaker(TAKEN)
    async with sending(taker, [b"1"]) as under_test:
        await until(lambda: taker.bodies == [b"1"])
        under_test.queue.append(QueuedRequest(body=b"2", num_samples=100, timestamp_ms=0))
        taker.is_let_go.set()
        await asyncio.wait_for(under_test.queue.wait_empty(), 20)
        assert under_test.counted() == {"sent": 100, "204": 2}


async def test_gauges_show_what_waits_and_since_when() -> None:
    async with sending(
        ScriptedTaker(AWAY), [b"123", b"4567"], back_off=BackOff(first_seconds=3600, max_seconds=3600)
    ) as under_test:
        await until(lambda: under_test.counted() == {"network_error": 1})
        under_test.queue.remove(QueuedRequest(body=b"", num_samples=0, timestamp_ms=0))
        oldest = under_test.queue.peek()
        assert oldest is not None
        under_test.queue.remove(oldest)
        shown = scrape(under_test.telemetry)
        # The second request was taken 1,000 ms after the epoch.
        assert shown["remote_write_spool_samples"] == 10
        assert shown["remote_write_spool_bytes"] == 4
        assert shown["remote_write_oldest_unsent_timestamp_seconds"] == 1


async def test_a_sender_in_a_hurry_leaves_its_pause() -> None:
    taker = ScriptedTaker(Answer(429, retry_after_seconds=600), TAKEN)
    async with sending(taker, [b"1"]) as under_test:
        await until(lambda: under_test.counted() == {"429": 1})
        under_test.sender.hurry()
        await asyncio.wait_for(under_test.queue.wait_empty(), 20)
