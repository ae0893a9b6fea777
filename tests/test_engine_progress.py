from __future__ import annotations

import pytest

from edge_agent.engine_client.listener import EngineState
from edge_agent.engine_client.watch_limits import WatchLimits
from edge_agent.engine_progress import EngineProgress, EngineSigns

# A run that says nothing is killed after 600 s, three loads are tried, each up to 30 s after the last one's end.
LIMITS = WatchLimits()


def signs(state: EngineState, *, load_progress: float = 0.0, last_heard: float = 0.0) -> EngineSigns:
    return EngineSigns(state, load_progress, last_heard)


def progress_after(seconds: float, *observed: EngineSigns) -> EngineProgress:
    """The signs one after the other at 0 s, then the last of them each second."""
    progress = EngineProgress(LIMITS, now=0.0)
    for sign in observed:
        progress.observe(sign, now=0.0)
    for second in range(1, int(seconds) + 1):
        progress.observe(observed[-1], now=float(second))
    return progress


@pytest.mark.parametrize(
    ("state", "longest_silence_seconds"),
    [
        (EngineState.READY, 660),
        (EngineState.LOADING, 1950),
        (EngineState.RESTARTING, 1950),
    ],
)
def test_supervision_stands_still_once_the_signs_stay_for_longer_than_its_own_limits(
    state: EngineState, longest_silence_seconds: int
) -> None:
    assert not progress_after(longest_silence_seconds, signs(state)).stands_still
    assert progress_after(longest_silence_seconds + 1, signs(state)).stands_still


@pytest.mark.parametrize("state", [EngineState.LOAD_FAILED, EngineState.STOPPED])
def test_a_final_state_never_stands_still(state: EngineState) -> None:
    assert not progress_after(10_000, signs(state)).stands_still


@pytest.mark.parametrize(
    "later",
    [
        signs(EngineState.READY, last_heard=1.0),
        signs(EngineState.READY, load_progress=0.5),
        signs(EngineState.RESTARTING),
    ],
)
def test_every_changed_sign_starts_the_wait_again(later: EngineSigns) -> None:
    progress = progress_after(660, signs(EngineState.READY))
    progress.observe(later, now=661.0)
    assert progress.silent_seconds == 0.0
    assert not progress.stands_still


def test_time_in_which_the_observer_itself_was_held_up_does_not_count() -> None:
    progress = progress_after(600, signs(EngineState.READY))
    progress.observe(signs(EngineState.READY), now=5000.0)
    assert progress.silent_seconds == 0.0


def test_nothing_observed_is_no_standstill() -> None:
    assert not EngineProgress(LIMITS, now=0.0).stands_still
