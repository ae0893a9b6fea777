"""When the service tunes: a fake engine, a fake search and a minute that passes when the test says so."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import msgspec
import pytest

from edge_agent.benchmark.speeds import MeasurementError
from edge_agent.engine_client.listener import EngineState
from edge_agent.protocol import EngineSettings, ModelFacts
from edge_agent.tuned_settings import TunedSettings
from edge_agent.tuning.auto_tuner import AutoTuner, tuning_when_idle
from edge_agent.tuning.candidates import with_tuned
from edge_agent.tuning.tuner import ThrottledError
from tests.engine_client.scripted_engine import MODEL, make_settings
from tests.tuning.choices import DEFAULT, changed

BEST = changed(repack=False)


class FakeEngine:
    """Serves, is asked something, and loads again, as the test has it."""

    def __init__(self) -> None:
        self.state = EngineState.READY
        self.settings = with_tuned(make_settings(), DEFAULT)
        self.model: ModelFacts | None = MODEL
        self.reloads: list[EngineSettings] = []
        # What the engine runs with after a reload that is not what was wanted; None: it is.
        self.fallback: EngineSettings | None = None
        self.settled = asyncio.Event()
        self.settled.set()
        self.busy = asyncio.Event()
        self.idle = asyncio.Event()
        self.idle.set()

    async def wait_settled(self) -> None:
        await self.settled.wait()

    async def wait_busy(self) -> None:
        await self.busy.wait()

    async def wait_idle(self) -> None:
        await self.idle.wait()

    def reload(self, settings: EngineSettings) -> bool:
        if self.busy.is_set():
            return False
        self.reloads.append(settings)
        self.settings = self.fallback or settings
        return True

    def ask(self) -> None:
        self.busy.set()
        self.idle.clear()

    def answer(self) -> None:
        self.idle.set()
        self.busy.clear()


class FakeTuning:
    """A search that ends when the test says so."""

    def __init__(self) -> None:
        self.num_runs = 0
        self.num_cancelled = 0
        self.rejections: list[str] = []
        self.choice: asyncio.Future[TunedSettings] = asyncio.get_running_loop().create_future()

    async def run(self) -> TunedSettings:
        self.num_runs += 1
        try:
            return await asyncio.shield(self.choice)
        except asyncio.CancelledError:
            self.num_cancelled += 1
            raise

    def settings_for(self, choice: TunedSettings) -> EngineSettings:
        return with_tuned(make_settings(), choice)

    def reject(self, reason: str) -> None:
        self.rejections.append(reason)


class Bench:
    """A tuner that runs, and how many minutes it has begun to wait for."""

    def __init__(self) -> None:
        self.engine = FakeEngine()
        self.tuning = FakeTuning()
        self.minutes: list[asyncio.Future[None]] = []
        self.pauses: list[float] = []
        self.tuner = AutoTuner(self.engine, self.tuning, pause=self._pause)

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.minutes.append(asyncio.get_running_loop().create_future())
        await self.minutes[-1]

    async def settle(self) -> None:
        """Let everything that can happen now happen."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def pass_minute(self) -> None:
        await self.settle()
        self.minutes[-1].set_result(None)
        await self.settle()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    running = Bench()
    async with tuning_when_idle(running.tuner):
        await running.settle()
        yield running


async def test_tuning_starts_after_an_idle_minute_and_not_before(bench: Bench) -> None:
    assert (bench.pauses, bench.tuning.num_runs) == ([60.0], 0)
    await bench.pass_minute()
    assert bench.tuning.num_runs == 1


async def test_a_request_in_the_minute_starts_it_anew_when_it_is_answered(bench: Bench) -> None:
    bench.engine.ask()
    await bench.settle()
    assert bench.minutes[0].cancelled()
    assert len(bench.minutes) == 1
    bench.engine.answer()
    await bench.settle()
    assert (len(bench.minutes), bench.tuning.num_runs) == (2, 0)
    await bench.pass_minute()
    assert bench.tuning.num_runs == 1


async def test_a_request_stops_tuning_which_goes_on_after_the_next_idle_minute(bench: Bench) -> None:
    await bench.pass_minute()
    bench.engine.ask()
    await bench.settle()
    assert (bench.tuning.num_runs, bench.tuning.num_cancelled) == (1, 1)
    bench.engine.answer()
    await bench.pass_minute()
    assert bench.tuning.num_runs == 2


async def test_the_choice_is_served_with_at_once_and_nothing_is_tuned_again(bench: Bench) -> None:
    await bench.pass_minute()
    bench.tuning.choice.set_result(BEST)
    await bench.settle()
    assert bench.engine.reloads == [with_tuned(make_settings(), BEST)]
    assert (bench.tuning.num_runs, bench.tuning.rejections, len(bench.minutes)) == (1, [], 1)


async def test_a_choice_that_is_served_with_already_reloads_nothing(bench: Bench) -> None:
    await bench.pass_minute()
    bench.tuning.choice.set_result(DEFAULT)
    await bench.settle()
    assert bench.engine.reloads == []
    assert len(bench.minutes) == 1


async def test_a_choice_that_comes_with_a_request_waits_for_another_idle_minute(bench: Bench) -> None:
    await bench.pass_minute()
    bench.engine.ask()
    bench.tuning.choice.set_result(BEST)
    await bench.settle()
    assert bench.engine.reloads == []
    bench.engine.answer()
    await bench.pass_minute()
    assert bench.engine.reloads == [with_tuned(make_settings(), BEST)]


async def test_a_choice_that_cannot_be_loaded_is_not_kept(bench: Bench) -> None:
    bench.engine.fallback = with_tuned(make_settings(), DEFAULT)
    await bench.pass_minute()
    bench.tuning.choice.set_result(BEST)
    await bench.settle()
    assert bench.tuning.rejections == ["the fastest settings could not be loaded to serve with"]


async def test_a_throttled_board_is_tried_three_times(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            bench.tuning.choice = asyncio.get_running_loop().create_future()
            bench.tuning.choice.set_exception(ThrottledError("cool it"))
            await bench.pass_minute()
    assert bench.tuning.num_runs == 3
    assert len(bench.minutes) == 3
    assert "throttled 3 times" in caplog.text


async def test_what_cannot_be_measured_is_told_once_and_left(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.tuning.choice.set_exception(MeasurementError("memory does not hold an engine"))
    with caplog.at_level(logging.INFO):
        await bench.pass_minute()
    assert (bench.tuning.num_runs, len(bench.minutes)) == (1, 1)
    assert "the model is not tuned" in caplog.text
    assert "memory does not hold an engine" in caplog.text


async def test_a_fault_of_tuning_costs_the_service_nothing(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.tuning.choice.set_exception(RuntimeError("broken"))
    await bench.pass_minute()
    assert "tuning failed" in caplog.text
    assert len(bench.minutes) == 1


async def test_a_model_on_a_gpu_is_not_loaded_twice(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.engine.model = msgspec.structs.replace(MODEL, num_gpu_layers=33)
    with caplog.at_level(logging.INFO):
        await bench.pass_minute()
    assert bench.tuning.num_runs == 0
    assert "it is on a GPU" in caplog.text


async def test_a_minute_in_which_the_engine_was_restarted_does_not_count(bench: Bench) -> None:
    bench.engine.state = EngineState.RESTARTING
    bench.engine.settled.clear()
    await bench.pass_minute()
    assert (bench.tuning.num_runs, len(bench.minutes)) == (0, 1)
    bench.engine.state = EngineState.READY
    bench.engine.settled.set()
    await bench.pass_minute()
    assert bench.tuning.num_runs == 1


async def test_nothing_is_waited_for_where_no_model_can_be_loaded() -> None:
    bench = Bench()
    bench.engine.state = EngineState.LOAD_FAILED
    await asyncio.wait_for(bench.tuner.run(), timeout=5)
    assert bench.minutes == []


async def test_the_end_of_the_service_ends_tuning() -> None:
    bench = Bench()
    async with tuning_when_idle(bench.tuner):
        await bench.pass_minute()
        assert bench.tuning.num_cancelled == 0
    assert bench.tuning.num_cancelled == 1
