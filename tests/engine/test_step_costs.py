"""What the cost table plans, from durations given by hand."""

import pytest

from edge_agent.engine.step_costs import StepCosts


def test_before_anything_is_learned_a_step_has_32_rows() -> None:
    assert StepCosts().rows_within(5.0, max_rows=512) == 32
    assert StepCosts().rows_within(5.0, max_rows=16) == 16


def test_a_step_grows_by_doubling_what_was_seen() -> None:
    costs = StepCosts()
    costs.observe(32, 0.1)
    assert costs.rows_within(5.0, max_rows=512) == 64
    costs.observe(64, 0.2)
    assert costs.rows_within(5.0, max_rows=512) == 128


def test_rows_stay_within_the_time_asked_for() -> None:
    costs = StepCosts()
    costs.observe(32, 1.0)
    # 32 rows take a second, so 48 would take 1.5 and 16 half of it at most.
    assert costs.rows_within(1.2, max_rows=512) == 32
    assert costs.rows_within(1.6, max_rows=512) == 48


def test_one_row_is_planned_when_nothing_fits() -> None:
    costs = StepCosts()
    costs.observe(32, 1.0)
    assert costs.rows_within(0.01, max_rows=512) == 1


def test_a_jump_in_the_curve_is_learned() -> None:
    costs = StepCosts()
    costs.observe(48, 0.400)
    costs.observe(64, 0.256)
    # 48 rows cost more than 64 do: within 0.3 s the larger step is the one that fits.
    assert costs.rows_within(0.3, max_rows=512) == 64


def test_a_step_between_two_sizes_counts_for_the_smaller_in_proportion() -> None:
    costs = StepCosts()
    costs.observe(40, 0.5)
    assert costs.expected(32) == pytest.approx(0.4)


def test_costs_follow_new_observations() -> None:
    costs = StepCosts()
    costs.observe(1, 0.010)
    costs.observe(1, 0.020)
    # 0.010 + 0.3 x (0.020 - 0.010)
    assert costs.expected(1) == pytest.approx(0.013)


def test_an_old_dear_entry_does_not_outlive_a_cheap_smaller_one() -> None:
    costs = StepCosts()
    costs.observe(64, 10.0)
    costs.observe(32, 0.1)
    assert costs.expected(64) == pytest.approx(0.2)
