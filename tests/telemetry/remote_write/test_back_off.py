from __future__ import annotations

from edge_agent.telemetry.remote_write.back_off import BackOff


def pauses(*, jitter: float, retry_after_seconds: float = 0.0) -> list[float]:
    """After the first, second, … failure in a row."""
    back_off = BackOff(first_seconds=1.0, max_seconds=10.0)
    return [
        back_off.pause_seconds(num_failures=number, retry_after_seconds=retry_after_seconds, jitter=jitter)
        for number in (1, 2, 3, 4, 5, 100_000)
    ]


def test_pauses_double_up_to_a_bound() -> None:
    assert pauses(jitter=1.0) == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_jitter_shortens_a_pause_by_half_at_most() -> None:
    assert pauses(jitter=0.0) == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_pause_is_never_shorter_than_the_receiver_wants() -> None:
    assert pauses(jitter=0.0, retry_after_seconds=60.0) == [60.5, 61.0, 62.0, 64.0, 65.0, 65.0]
