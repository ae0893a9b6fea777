from __future__ import annotations

from edge_agent.device.rising_counters import ContinuedCounters, HeldCounters


def test_a_held_counter_waits_for_a_count_that_stepped_back() -> None:
    counters = HeldCounters(most_wavering=3.0)
    assert [counters.value("idle", count) for count in (100.0, 99.5, 99.9, 100.25)] == [100.0, 100.0, 100.0, 100.25]


def test_a_held_counter_goes_on_from_where_a_count_lost_more_than_it_wavers() -> None:
    counters = HeldCounters(most_wavering=3.0)
    told = [counters.value("idle", count) for count in (5000.0, 4000.0, 4001.0, 4000.5, 4002.0)]
    assert told == [5000.0, 5000.0, 5001.0, 5001.0, 5002.0]


def test_a_continued_counter_goes_on_from_where_the_old_count_ended() -> None:
    counters = ContinuedCounters()
    assert [counters.value("eth1", count) for count in (1000, 1500, 20, 50)] == [1000, 1500, 1520, 1550]


def test_counters_do_not_mix() -> None:
    counters = ContinuedCounters()
    counters.value("eth0", 500)
    assert counters.value("eth1", 7) == 7


def test_what_is_gone_is_forgotten() -> None:
    counters = ContinuedCounters()
    counters.value("eth0", 500)
    counters.value("eth1", 500)
    counters.keep_only({"eth0"})
    assert counters.value("eth1", 20) == 20
    assert counters.value("eth0", 501) == 501
