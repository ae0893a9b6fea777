from __future__ import annotations

import asyncio

from edge_agent.telemetry.remote_write.queue import QueuedRequest, RequestQueue


def request(num_samples: int, *, body: bytes = b"12345", timestamp_ms: int = 0) -> QueuedRequest:
    return QueuedRequest(body=body, num_samples=num_samples, timestamp_ms=timestamp_ms)


def test_the_oldest_comes_first_and_stays_until_it_is_removed() -> None:
    queue = RequestQueue(max_samples=100)
    first, second = request(10), request(20, body=b"123")
    assert (queue.append(first), queue.append(second)) == (0, 0)
    assert (queue.peek(), queue.peek()) == (first, first)
    assert (queue.num_samples, queue.num_bytes) == (30, 8)
    assert queue.remove(first)
    assert queue.peek() is second
    assert (queue.num_samples, queue.num_bytes) == (20, 3)


def test_a_full_queue_drops_its_oldest_and_says_how_many_samples() -> None:
    queue = RequestQueue(max_samples=25)
    requests = [request(10, timestamp_ms=number) for number in range(4)]
    assert [queue.append(each) for each in requests] == [0, 0, 10, 10]
    assert queue.peek() is requests[2]
    assert queue.num_samples == 20


def test_the_newest_is_kept_even_where_it_is_larger_than_the_queue() -> None:
    queue = RequestQueue(max_samples=25)
    queue.append(request(10))
    large = request(30)
    assert queue.append(large) == 10
    assert queue.peek() is large


def test_what_was_dropped_while_it_was_sent_is_not_removed_a_second_time() -> None:
    queue = RequestQueue(max_samples=10)
    dropped, kept = request(10), request(10)
    queue.append(dropped)
    queue.append(kept)
    assert not queue.remove(dropped)
    assert queue.peek() is kept
    assert queue.num_samples == 10


async def test_whoever_waits_is_woken_when_it_fills_and_when_it_empties() -> None:
    queue = RequestQueue(max_samples=10)
    await queue.wait_empty()
    filled = asyncio.create_task(queue.wait_filled())
    await asyncio.sleep(0)
    assert not filled.done()
    only = request(1)
    queue.append(only)
    await asyncio.wait_for(filled, 10)
    emptied = asyncio.create_task(queue.wait_empty())
    await asyncio.sleep(0)
    assert not emptied.done()
    queue.remove(only)
    await asyncio.wait_for(emptied, 10)
