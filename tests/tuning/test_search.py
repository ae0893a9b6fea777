from __future__ import annotations

import pytest

from edge_agent.tuning.candidates import Change
from edge_agent.tuning.search import Preference, Search, Verdict
from tests.tuning.choices import DEFAULT, changed, speeds

NO_REPACK: Change = {"repack": False}
Q8: Change = {"kv_cache_type": "q8_0", "flash_attention": True}
BASE = speeds(100.0, 10.0)


def search(*changes: Change, prefer: Preference = "balanced") -> Search:
    return Search(DEFAULT, changes, prefer=prefer)


def verdict(prefill: float, decode: float, *, prefer: Preference = "balanced") -> Verdict:
    """Of one candidate with these speeds beside BASE."""
    one = search(NO_REPACK, prefer=prefer)
    one.note_speeds(speeds(prefill, decode), before=BASE, after=BASE)
    return one.trials[0].verdict


def test_a_change_that_gains_is_what_the_next_one_is_made_to() -> None:
    running = search(NO_REPACK, Q8)
    assert running.next_candidate() == changed(repack=False)
    running.note_speeds(speeds(150.0, 10.0), before=BASE, after=BASE)
    assert running.next_candidate() == changed(repack=False, kv_cache_type="q8_0")
    running.note_speeds(speeds(150.0, 9.0), before=speeds(150.0, 10.0), after=speeds(150.0, 10.0))
    assert running.next_candidate() is None
    assert running.best == changed(repack=False)
    assert [trial.verdict for trial in running.trials] == [Verdict.TAKEN, Verdict.NO_GAIN]


def test_a_candidate_stays_until_something_is_noted_about_it() -> None:
    running = search(NO_REPACK, Q8)
    assert [running.next_candidate() for _ in range(3)] == [changed(repack=False)] * 3
    assert running.trials == []


def test_settings_that_were_seen_are_not_tried_again() -> None:
    running = search(NO_REPACK, NO_REPACK, {"repack": True}, Q8)
    running.note_failure("no")
    assert running.next_candidate() == changed(kv_cache_type="q8_0")


@pytest.mark.parametrize(
    ("prefill", "decode", "expected"),
    [(106.0, 10.0, Verdict.NO_GAIN), (106.2, 10.0, Verdict.TAKEN), (100.0, 9.0, Verdict.NO_GAIN)],
    ids=["less than 3 %", "more than 3 %", "slower"],
)
def test_a_gain_of_less_than_three_per_cent_changes_nothing(prefill: float, decode: float, expected: Verdict) -> None:
    assert verdict(prefill, decode) is expected


@pytest.mark.parametrize(
    ("prefer", "expected"),
    [("balanced", Verdict.TAKEN), ("prefill", Verdict.TAKEN), ("decode", Verdict.NO_GAIN)],
)
def test_what_is_preferred_decides_where_one_speed_rises_and_the_other_falls(
    prefer: Preference, expected: Verdict
) -> None:
    assert verdict(170.0, 8.2, prefer=prefer) is expected


def test_of_two_that_are_equal_in_the_preferred_speed_the_other_one_decides() -> None:
    assert verdict(140.0, 10.0, prefer="decode") is Verdict.TAKEN


def test_a_candidate_must_beat_the_better_of_the_two_measurements_around_it() -> None:
    running = search(NO_REPACK)
    running.note_speeds(speeds(104.0, 10.4), before=speeds(103.0, 10.3), after=speeds(95.0, 9.5))
    assert running.trials[0].verdict is Verdict.NO_GAIN
    assert running.trials[0].base_speeds == speeds(103.0, 10.3)
    assert running.best == DEFAULT


def test_measurements_that_differ_by_more_than_heat_explains_are_not_steady() -> None:
    running = search(NO_REPACK)
    assert running.is_steady(speeds(100.0, 10.0), speeds(92.0, 9.2))
    assert not running.is_steady(speeds(100.0, 10.0), speeds(90.0, 9.0))
    assert not running.is_steady(speeds(24.0, 3.0), speeds(270.0, 120.0))


def test_what_fails_or_is_left_out_is_not_chosen_and_keeps_its_reason() -> None:
    running = search(NO_REPACK, Q8)
    running.note_failure("out of memory")
    running.note_skip("too little memory")
    assert running.best == DEFAULT
    assert [(t.verdict, t.reason) for t in running.trials] == [
        (Verdict.FAILED, "out of memory"),
        (Verdict.SKIPPED, "too little memory"),
    ]


def test_why_names_what_was_taken_with_its_numbers() -> None:
    running = search(NO_REPACK, Q8)
    running.note_speeds(speeds(90.0, 10.0), before=BASE, after=BASE)
    running.note_speeds(speeds(81.0, 16.0), before=BASE, after=BASE)
    assert running.explain() == (
        "changes measured: 2; these were at least 3% faster (balanced): "
        "KV q8_0 (+14%: prefill 100.0 to 81.0, decode 10.0 to 16.0 tokens/s)"
    )


def test_why_says_so_where_the_default_is_the_best() -> None:
    running = search(NO_REPACK, Q8, prefer="decode")
    running.note_speeds(speeds(100.0, 10.1), before=BASE, after=BASE)
    running.note_skip("too little memory")
    assert running.explain() == "changes measured: 1; none was 3% faster (decode) than the default"


def test_nothing_can_be_noted_when_the_search_is_over() -> None:
    with pytest.raises(ValueError, match="over"):
        search().note_skip("too little memory")
