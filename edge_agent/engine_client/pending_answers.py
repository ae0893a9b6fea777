"""Who waits for which answer of the intake, for one engine process. Used on the event loop only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from edge_agent.protocol import Answer, Message, Refused

AnswerT = TypeVar("AnswerT", bound=Message)


class PendingAnswers:
    """Futures by id. One whose waiter has gone stays until its answer comes, for the engine still owes it."""

    def __init__(self) -> None:
        self._futures: dict[int, tuple[type[Message], asyncio.Future[Any]]] = {}

    def __len__(self) -> int:
        return len(self._futures)

    def expect(self, answer_id: int, kind: type[AnswerT]) -> asyncio.Future[AnswerT | Refused]:
        future: asyncio.Future[AnswerT | Refused] = asyncio.get_running_loop().create_future()
        self._futures[answer_id] = (kind, future)
        return future

    def resolve(self, answer: Answer) -> bool:
        """Hand the answer over; returns whether it was owed. Raises ValueError if it is of the wrong kind."""
        if answer.id not in self._futures:
            return False
        kind, future = self._futures[answer.id]
        if not isinstance(answer, kind | Refused):
            raise ValueError(f"{type(answer).__name__} where {kind.__name__} was due")
        del self._futures[answer.id]
        if not future.done():
            future.set_result(answer)
        return True

    def lose(self, error: Callable[[], Exception]) -> None:
        """Fail all that still wait, each with an exception of its own."""
        futures = list(self._futures.values())
        self._futures.clear()
        for _, future in futures:
            if not future.done():
                future.set_exception(error())
