from __future__ import annotations

import asyncio
import threading

import pytest

from edge_agent.telemetry.remote_write.detached_call import detached


async def test_what_a_call_returns_or_raises_comes_to_whoever_waits() -> None:
    assert await detached(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await detached(lambda: 1 // 0)


async def test_a_call_runs_beside_the_loop() -> None:
    assert await detached(threading.get_ident) != threading.get_ident()


async def test_a_result_that_nobody_waits_for_any_more_is_dropped() -> None:
    is_over = threading.Event()
    future = detached(is_over.wait)
    future.cancel()
    is_over.set()
    # Behind it in the loop's queue.
    assert await detached(lambda: 1) == 1
    assert future.cancelled()


def test_neither_the_loop_s_end_nor_the_process_s_waits_for_a_call_that_hangs() -> None:
    is_over = threading.Event()

    async def give_up() -> None:
        async with asyncio.timeout(0.01):
            await detached(is_over.wait)

    with pytest.raises(TimeoutError):
        asyncio.run(give_up())
    (thread,) = (thread for thread in threading.enumerate() if thread.name == "detached-call")
    assert thread.daemon
    # Its loop is closed by now: nobody is told, and nothing fails.
    is_over.set()
    thread.join(20)
    assert not thread.is_alive()
