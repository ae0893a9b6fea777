from __future__ import annotations

import pytest

from edge_agent.benchmark.speeds import MeasurementError, decode_speed, prefill_speed
from edge_agent.protocol import Report
from tests.benchmark.steps import step


def test_prefill_counts_prompt_rows_only_over_the_steps_that_did_nothing_else() -> None:
    reports = [
        step(0.0, 1.0, prefill=32),
        step(1.5, 2.0, prefill=68),
        step(2.0, 3.0, prefill=1000, decode=1),
        step(3.0, 4.0, decode=1),
    ]
    assert prefill_speed(reports) == 50.0


def test_time_between_two_steps_of_a_kind_counts_and_time_before_the_first_does_not() -> None:
    reports = [step(5.0, 6.0, prefill=100), step(16.0, 16.5, decode=1), step(17.0, 17.5, decode=1)]
    assert decode_speed(reports, num_sequences=1) == pytest.approx(2 / 1.5)


def test_decode_counts_only_steps_in_which_all_sequences_had_a_token() -> None:
    reports = [
        step(0.0, 1.0, decode=1),
        step(1.0, 1.5, decode=4),
        step(1.5, 2.0, decode=4),
        step(2.0, 9.0, decode=3),
    ]
    assert decode_speed(reports, num_sequences=4) == 8.0


def test_steps_parted_by_others_are_added_up() -> None:
    reports = [step(0.0, 1.0, decode=1), step(1.0, 5.0, prefill=8), step(5.0, 6.0, decode=1)]
    assert decode_speed(reports, num_sequences=1) == 1.0


@pytest.mark.parametrize("reports", [[], [step(0.0, 1.0, prefill=8)]], ids=["no step", "prefill only"])
def test_what_did_not_happen_has_no_speed(reports: list[Report]) -> None:
    with pytest.raises(MeasurementError, match="measure again"):
        decode_speed(reports, num_sequences=1)
