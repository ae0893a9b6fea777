"""A call that blocks, in a thread of its own that nobody waits for: neither the loop's end nor the process's does.

The loop's own pool is waited for at the end, and a name server that is gone holds a look-up for a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

T = TypeVar("T")


def detached(call: Callable[[], T]) -> asyncio.Future[T]:
    """What the call returns or raises, later. Giving up the future does not end the thread: bound their number."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    threading.Thread(target=_run, args=(call, future, loop), name="detached-call", daemon=True).start()
    return future


def _run(call: Callable[[], T], future: asyncio.Future[T], loop: asyncio.AbstractEventLoop) -> None:
    # No fence: whoever awaits the future gets the exception.
    try:
        act = partial(future.set_result, call())
    except Exception as error:
        act = partial(future.set_exception, error)
    # A loop that is closed has nobody left who waits.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(_settle, future, act)


def _settle(future: asyncio.Future[T], act: Callable[[], None]) -> None:
    if not future.done():
        act()
