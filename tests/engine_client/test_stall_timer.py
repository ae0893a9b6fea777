import asyncio

from edge_agent.engine_client.stall_timer import StallTimer
from edge_agent.engine_client.stall_watch import StallWatch
from edge_agent.engine_client.watch_limits import WatchLimits


class FakeClock:
    """Time as the test sets it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Stand:
    """A timer at a clock that only the test moves; a wait of no seconds fires in the loop's next turn."""

    def __init__(self, *, load_stall_seconds: float = 600.0) -> None:
        self.clock = FakeClock()
        limits = WatchLimits(load_stall_seconds=load_stall_seconds, report_stall_seconds=60.0)
        self.watch = StallWatch(limits, max_step_seconds=1.0, now=100.0)
        self.stall: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.timer = StallTimer(self.watch, clock=self.clock, late_seconds=5.0, on_stall=self.stall.set_result)


async def turn_loop() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_stall_is_told_once_when_its_deadline_has_come() -> None:
    stand = Stand()
    stand.clock.now = 700.0
    stand.timer.arm()
    assert await stand.stall == "no report for 600.0 s"
    await turn_loop()


async def test_a_deadline_that_came_nearer_is_met() -> None:
    stand = Stand()
    stand.timer.arm()
    stand.watch.step_done(100.0)
    stand.clock.now = 160.0
    stand.timer.refresh()
    assert await stand.stall == "no report for 60.0 s"


async def test_a_deadline_that_moved_away_is_waited_for() -> None:
    stand = Stand(load_stall_seconds=0.0)
    stand.timer.arm()
    stand.watch.step_done(100.0)
    await turn_loop()
    assert not stand.stall.done()
    stand.timer.disarm()


async def test_a_timer_that_fires_late_forgives_the_engine() -> None:
    stand = Stand(load_stall_seconds=0.0)
    stand.watch.step_done(40.0)
    stand.timer.arm()
    stand.clock.now = 105.5
    await turn_loop()
    assert not stand.stall.done()
    assert stand.watch.deadline == 165.5
    stand.timer.disarm()


async def test_a_disarmed_timer_stays_silent() -> None:
    stand = Stand(load_stall_seconds=0.0)
    stand.timer.arm()
    stand.timer.disarm()
    stand.timer.refresh()
    await turn_loop()
    assert not stand.stall.done()
