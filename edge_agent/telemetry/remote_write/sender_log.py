"""Says once what keeps samples from a receiver, and once that it is over; not for each attempt. Event loop.

Over is a problem only after some requests in a row: on a link that drops every third, it is one problem, not hundreds.

Beside each WARNING stands a counter of `push_metrics`.
"""

from __future__ import annotations

import logging
import re
from types import MappingProxyType

from edge_agent.telemetry.remote_write.answer import Answer

logger = logging.getLogger(__name__)

# A receiver that makes up a new text each time is not repeated beyond this; the counters go on.
MAX_DISTINCT = 20
# A minute at the default interval.
NUM_CALM_REQUESTS = 4
REMEDIES = MappingProxyType(
    {
        301: "; give in url the address that it redirects to",
        302: "; give in url the address that it redirects to",
        307: "; give in url the address that it redirects to",
        308: "; give in url the address that it redirects to",
        401: "; give the endpoint bearer_token_file, or username and password_file, with what the receiver expects",
        403: "; give the endpoint credentials that may write",
        404: "; give in url the receiver's path for remote_write, such as /api/v1/write",
    }
)


class SenderLog:
    """Of one receiver."""

    def __init__(self, receiver: str) -> None:
        self._receiver = receiver
        self._problems: set[str] = set()
        self._rejections: set[tuple[int, str]] = set()
        self._is_full = False
        self._is_broken = False
        self._num_accepted = 0

    def unreachable(self, problem: str) -> None:
        self._tell_waiting(problem)

    def put_off(self, answer: Answer) -> None:
        remedy = REMEDIES.get(answer.status, "")
        self._tell_waiting(f"it answers {answer.status} {answer.text}".rstrip() + remedy)

    def accepted(self) -> None:
        self._num_accepted += 1
        if self._num_accepted >= NUM_CALM_REQUESTS and (
            self._problems or self._rejections or self._is_full or self._is_broken
        ):
            self._problems.clear()
            self._rejections.clear()
            self._is_full = self._is_broken = False
            logger.info("a receiver takes samples again receiver=%s", self._receiver)

    def rejected(self, answer: Answer, *, num_samples: int) -> None:
        self._num_accepted = 0
        # Numbers aside, which may be the time or the series.
        kind = (answer.status, re.sub(r"\d+", "0", answer.text))
        if kind not in self._rejections and len(self._rejections) < MAX_DISTINCT:
            self._rejections.add(kind)
            logger.warning(
                "a receiver refuses samples, they are lost receiver=%s code=%d samples=%d answer=%r%s",
                self._receiver,
                answer.status,
                num_samples,
                answer.text,
                REMEDIES.get(answer.status, ""),
            )

    def full(self) -> None:
        self._num_accepted = 0
        if not self._is_full:
            self._is_full = True
            logger.warning(
                "the queue of a receiver is full, its oldest samples are lost receiver=%s "
                "(telemetry.remote_write.max_queue_samples bounds it)",
                self._receiver,
            )

    def broken(self) -> None:
        """Sending failed in a way that nobody foresaw. Called while its exception is handled."""
        self._num_accepted = 0
        if not self._is_broken:
            self._is_broken = True
            logger.exception("sending samples failed, please report this receiver=%s", self._receiver)

    def lost(self, num_samples: int) -> None:
        logger.warning("the agent ends before all samples are sent receiver=%s lost=%d", self._receiver, num_samples)

    def _tell_waiting(self, problem: str) -> None:
        self._num_accepted = 0
        kind = re.sub(r"\d+", "0", problem)
        if kind not in self._problems and len(self._problems) < MAX_DISTINCT:
            self._problems.add(kind)
            logger.warning(
                "samples wait, a receiver does not take them receiver=%s problem=%s", self._receiver, problem
            )
