from __future__ import annotations

import pytest

from edge_agent.device.thermal_state import ThermalState
from edge_agent.protocol import Report, SequenceReport
from tests.telemetry.scripted_engine import NO_CELLS, count_and_sum, held_back_as, scrape, step, telemetry_of

DECODE = step(
    SequenceReport(id=1, tokens=[5], previous_token=1.0),
    SequenceReport(id=2, tokens=[6, 7], previous_token=1.0),
    started=1.0,
    ended=1.5,
    num_decode_rows=4,
)
MIXED = step(
    SequenceReport(id=1, tokens=[8], previous_token=1.5),
    SequenceReport(id=3),
    started=1.5,
    ended=3.5,
    num_prefill_rows=32,
    num_decode_rows=1,
)
PREFILL = step(SequenceReport(id=3, tokens=[9]), started=4.0, ended=8.0, num_prefill_rows=64)


def test_only_steps_without_prefill_count_as_decode() -> None:
    telemetry = telemetry_of()
    for report in (DECODE, DECODE, MIXED, PREFILL):
        telemetry.engine.report(report)
    shown = scrape(telemetry)
    # Decode: twice 0.5 s and three tokens. Else: 2 s and 4 s. Tokens: 3 + 3 + 1 + 1.
    assert shown['decode_steps_total{model="tiny",thermal_state="nominal"}'] == 2
    assert shown['decode_seconds_total{model="tiny",thermal_state="nominal"}'] == 1.0
    assert shown['decode_step_tokens_total{model="tiny",thermal_state="nominal"}'] == 6
    assert shown['prefill_seconds_total{model="tiny",thermal_state="nominal"}'] == 6.0
    assert shown['generated_tokens_total{model="tiny",thermal_state="nominal"}'] == 8


def test_steps_are_counted_under_the_state_of_their_moment() -> None:
    moments = [(ThermalState.CAPPED, DECODE), (ThermalState.THROTTLED, MIXED), (ThermalState.UNDERVOLTAGE, DECODE)]
    state = ThermalState.NOMINAL
    telemetry = telemetry_of(device=held_back_as(lambda: state))
    for moment in moments:
        state, report = moment
        telemetry.engine.report(report)
    shown = scrape(telemetry)
    tokens = {state: shown[f'generated_tokens_total{{model="tiny",thermal_state="{state}"}}'] for state in STATES}
    decode = {state: shown[f'decode_seconds_total{{model="tiny",thermal_state="{state}"}}'] for state in STATES}
    prefill = {state: shown[f'prefill_seconds_total{{model="tiny",thermal_state="{state}"}}'] for state in STATES}
    assert tokens == {"nominal": 0, "capped": 3, "throttled": 1, "undervoltage": 3}
    assert decode == {"nominal": 0, "capped": 0.5, "throttled": 0, "undervoltage": 0.5}
    assert prefill == {"nominal": 0, "capped": 0, "throttled": 2.0, "undervoltage": 0}


STATES = ("nominal", "capped", "throttled", "undervoltage")


@pytest.mark.parametrize(
    ("report", "phase", "seconds"), [(DECODE, "decode", 0.5), (MIXED, "mixed", 2.0), (PREFILL, "prefill", 4.0)]
)
def test_a_steps_time_goes_to_its_phase_alone(report: Report, phase: str, seconds: float) -> None:
    telemetry = telemetry_of()
    telemetry.engine.report(report)
    shown = scrape(telemetry)
    sums = {p: shown[f'step_seconds_sum{{model="tiny",phase="{p}"}}'] for p in ("prefill", "decode", "mixed")}
    counts = {p: shown[f'step_seconds_count{{model="tiny",phase="{p}"}}'] for p in ("prefill", "decode", "mixed")}
    assert sums == {"prefill": 0.0, "decode": 0.0, "mixed": 0.0} | {phase: seconds}
    assert counts == {"prefill": 0, "decode": 0, "mixed": 0} | {phase: 1}


def test_step_tokens_are_all_rows_of_the_step() -> None:
    telemetry = telemetry_of()
    for report in (DECODE, MIXED, PREFILL):
        telemetry.engine.report(report)
    shown = scrape(telemetry)
    # Rows: 4, 32 + 1, 64.
    assert count_and_sum(shown, "step_tokens") == (3, 101)
    assert shown['step_tokens_bucket{le="4.0",model="tiny"}'] == 1
    assert shown['step_tokens_bucket{le="32.0",model="tiny"}'] == 1
    assert shown['step_tokens_bucket{le="64.0",model="tiny"}'] == 3


def test_prefix_cache_tokens_add_up_over_reports() -> None:
    telemetry = telemetry_of()
    for queried, hit, evicted in ((100, 60, 0), (50, 0, 30)):
        telemetry.engine.report(
            Report(
                started=1.0,
                ended=2.0,
                num_prefill_rows=1,
                num_decode_rows=0,
                kv=NO_CELLS,
                num_running=1,
                num_waiting=0,
                sequences=[],
                num_prefix_queried=queried,
                num_prefix_hit=hit,
                num_prefix_evicted=evicted,
            )
        )
    shown = scrape(telemetry)
    assert shown['prefix_cache_queried_tokens_total{model="tiny"}'] == 150
    assert shown['prefix_cache_hit_tokens_total{model="tiny"}'] == 60
    assert shown['prefix_cache_evicted_tokens_total{model="tiny"}'] == 30
