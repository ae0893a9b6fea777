from edge_agent.engine_client.engine_end import EngineEnd
from edge_agent.engine_client.restart_policy import RestartPolicy
from edge_agent.engine_client.watch_limits import WatchLimits

SERVED_BRIEFLY = EngineEnd(returncode=-11, ready_seconds=59.9)
SERVED_A_MINUTE = EngineEnd(returncode=-11, ready_seconds=60.0)
ABORTED_IN_LOAD = EngineEnd(returncode=-6)
KILLED_IN_LOAD = EngineEnd(returncode=-9)
REFUSED_FILE = EngineEnd(returncode=1, load_error="no")


def pauses(*ends: EngineEnd) -> list[float | None]:
    policy = RestartPolicy(WatchLimits())
    return [policy.pause_after(end) for end in ends]


def test_the_pause_doubles_up_to_half_a_minute() -> None:
    assert pauses(*[SERVED_BRIEFLY] * 8) == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_a_minute_of_service_makes_the_pause_short_again() -> None:
    assert pauses(SERVED_BRIEFLY, SERVED_BRIEFLY, SERVED_A_MINUTE, SERVED_BRIEFLY) == [0.5, 1.0, 0.5, 1.0]


def test_an_abort_on_the_first_load_is_final() -> None:
    assert pauses(ABORTED_IN_LOAD) == [None]


def test_a_kill_on_the_first_load_is_final_the_third_time() -> None:
    assert pauses(KILLED_IN_LOAD, KILLED_IN_LOAD, KILLED_IN_LOAD) == [0.5, 1.0, None]


def test_a_model_that_loaded_once_may_abort_twice_in_a_row() -> None:
    assert pauses(SERVED_BRIEFLY, ABORTED_IN_LOAD, ABORTED_IN_LOAD, ABORTED_IN_LOAD) == [0.5, 1.0, 2.0, None]


def test_a_good_load_starts_the_count_of_bad_ones_again() -> None:
    ends = (KILLED_IN_LOAD, KILLED_IN_LOAD, SERVED_BRIEFLY, ABORTED_IN_LOAD, ABORTED_IN_LOAD)
    assert None not in pauses(*ends)


def test_a_reported_failure_is_final_even_after_a_good_load() -> None:
    assert pauses(SERVED_A_MINUTE, REFUSED_FILE) == [0.5, None]
    assert pauses(EngineEnd(returncode=1, load_error="no", ready_seconds=1.0)) == [None]
