"""Tokens a second out of the engine's reports. Pure.

A step counts from the end of the step before it, so that sampling and reporting are in: that is what a user waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

from msgspec import Meta, Struct

from edge_agent.errors import EdgeAgentError
from edge_agent.protocol import Phase, Report

# Whatever a file says, no machine computes a million tokens a second or one a week.
TokensPerSecond = Annotated[float, Meta(gt=0, le=1e6)]


class MeasurementError(EdgeAgentError):
    """What was to be measured did not happen."""


class Speeds(Struct, frozen=True, kw_only=True):
    """Tokens a second: of a prompt, and of an answer to one user alone."""

    prefill: TokensPerSecond
    decode: TokensPerSecond


def prefill_speed(reports: Sequence[Report]) -> float:
    """Prompt tokens a second over the steps that did nothing else. Raises MeasurementError where there was none."""
    return _rows_per_second(reports, lambda report: report.num_prefill_rows if report.phase is Phase.PREFILL else 0)


def decode_speed(reports: Sequence[Report], *, num_sequences: int) -> float:
    """Tokens a second of so many sequences together, over the steps that gave each of them one.

    Raises MeasurementError where there was none.
    """

    def rows(report: Report) -> int:
        is_counted = report.phase is Phase.DECODE and report.num_decode_rows == num_sequences
        return num_sequences if is_counted else 0

    return _rows_per_second(reports, rows)


def _rows_per_second(reports: Sequence[Report], rows_of: Callable[[Report], int]) -> float:
    num_rows, seconds = 0, 0.0
    previous_end: float | None = None
    for report in reports:
        if rows := rows_of(report):
            num_rows += rows
            seconds += report.ended - (report.started if previous_end is None else previous_end)
        # After a step of another kind the loop may have waited for its next request.
        previous_end = report.ended if rows else None
    if seconds <= 0:
        raise MeasurementError("the engine reported no step of the kind that was to be measured: measure again")
    return num_rows / seconds
