from edge_agent.engine_client.stall_watch import StallWatch
from edge_agent.engine_client.watch_limits import WatchLimits


def make_watch(*, max_step_seconds: float = 5.0) -> StallWatch:
    """A process spawned at second 100."""
    return StallWatch(WatchLimits(), max_step_seconds=max_step_seconds, now=100.0)


def test_loading_and_the_first_step_may_take_ten_minutes() -> None:
    watch = make_watch()
    watch.heard(150.0)
    assert watch.deadline == 750.0
    assert watch.stall_at(749.9) is None
    assert watch.stall_at(750.0) == "no report for 600.0 s"


def test_after_the_first_step_a_minute_of_silence_is_a_stall() -> None:
    watch = make_watch()
    watch.step_done(200.0)
    assert watch.deadline == 260.0
    watch.heard(201.0)
    assert watch.stall_at(260.9) is None
    assert watch.stall_at(261.0) == "no report for 60.0 s"


def test_ten_long_steps_of_silence_are_not_a_stall() -> None:
    watch = make_watch(max_step_seconds=7.5)
    watch.step_done(200.0)
    assert watch.deadline == 275.0


def test_an_intake_that_owes_an_answer_for_twenty_seconds_is_a_stall() -> None:
    watch = make_watch()
    watch.asked(110.0)
    watch.asked(125.0)
    assert watch.deadline == 130.0
    assert watch.stall_at(129.9) is None
    assert watch.stall_at(130.0) == "the intake answered nothing for 20.0 s"


def test_each_answer_starts_the_twenty_seconds_again_while_more_are_owed() -> None:
    watch = make_watch()
    watch.asked(110.0)
    watch.asked(111.0)
    watch.answered(129.0, num_owed=1)
    assert watch.deadline == 149.0


def test_an_intake_that_owes_nothing_cannot_stall() -> None:
    watch = make_watch()
    watch.asked(110.0)
    watch.answered(111.0, num_owed=0)
    assert watch.deadline == 700.0
    watch.asked(300.0)
    assert watch.deadline == 320.0


def test_forgiving_starts_both_waits_again() -> None:
    watch = make_watch()
    watch.step_done(200.0)
    watch.asked(200.0)
    watch.forgive(900.0)
    assert watch.stall_at(900.0) is None
    assert watch.deadline == 920.0


def test_forgiving_makes_an_idle_intake_owe_nothing() -> None:
    watch = make_watch()
    watch.step_done(200.0)
    watch.forgive(900.0)
    assert watch.deadline == 960.0
