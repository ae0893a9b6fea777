"""The tuner in front of engine processes whose speeds are made up."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_agent.benchmark.speeds import MeasurementError
from edge_agent.device.snapshot import DeviceSnapshot
from edge_agent.device.thermal_state import ThermalState
from edge_agent.protocol import EngineSettings
from edge_agent.tuning.candidates import Change, with_tuned
from edge_agent.tuning.search import Search, Verdict
from edge_agent.tuning.tuner import ThrottledError, Tuner
from tests.engine_client.conftest import child_pids
from tests.engine_client.scripted_engine import make_settings
from tests.tuning.choices import DEFAULT, changed
from tests.tuning.measured import Scenario, read_journal, write_scenario

NO_REPACK: Change = {"repack": False}
Q8: Change = {"kv_cache_type": "q8_0"}
NOMINAL = DeviceSnapshot()


def everything_fits(settings: EngineSettings) -> bool:
    return True


async def started_one(bench: Bench) -> None:
    async with asyncio.timeout(30):
        while True:
            if bench.started("repack"):
                return
            await asyncio.sleep(0.01)


class Bench:
    """A tuner, what it said, and the processes that it started."""

    def __init__(
        self,
        folder: Path,
        scenario: Scenario,
        *changes: Change,
        fits: Callable[[EngineSettings], bool] = everything_fits,
        device: Callable[[], DeviceSnapshot] = lambda: NOMINAL,
    ) -> None:
        self.said: list[str] = []
        self.search = Search(DEFAULT, changes, prefer="balanced")
        self.tuner = Tuner(
            self.search,
            with_tuned(make_settings(context_length=4096, max_sequences=4), DEFAULT),
            environ=os.environ,
            fits=fits,
            device=device,
            say=self.said.append,
            command=write_scenario(folder, scenario),
        )
        self._folder = folder

    @property
    def verdicts(self) -> list[Verdict]:
        return [trial.verdict for trial in self.search.trials]

    def started(self, name: str) -> list[Any]:
        """This setting of each process that was started."""
        return [settings[name] for settings in read_journal(self._folder)]


async def test_each_candidate_stands_between_two_measurements_of_the_best(tmp_path: Path) -> None:
    scenario = Scenario(factors={"repack=false": [0.5, 1.0], "kv_cache_type=q8_0": [1.0, 2.0]})
    bench = Bench(tmp_path, scenario, NO_REPACK, Q8)
    await bench.tuner.run()
    assert bench.started("repack") == [True, False, True, False, False]
    assert bench.started("kv_cache_type") == ["f16", "f16", "f16", "q8_0", "f16"]
    assert bench.verdicts == [Verdict.TAKEN, Verdict.NO_GAIN]
    assert bench.search.best == changed(repack=False)
    assert child_pids() == set()


async def test_speeds_are_those_of_the_reports(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Scenario(factors={"repack=false": [0.5, 0.25]}), NO_REPACK)
    await bench.tuner.run()
    (trial,) = bench.search.trials
    assert trial.speeds is not None
    assert trial.base_speeds is not None
    assert (trial.base_speeds.prefill, trial.base_speeds.decode) == pytest.approx((100.0, 10.0))
    assert (trial.speeds.prefill, trial.speeds.decode) == pytest.approx((200.0, 40.0))
    assert bench.said[0] == "the default: prefill 100.0, decode 10.0 tokens/s"


async def test_measuring_engines_are_small_and_keep_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Scenario(), NO_REPACK)
    await bench.tuner.run()
    assert set(bench.started("context_length")) == {1024}
    assert set(bench.started("max_sequences")) == {1}
    assert set(bench.started("max_draft_tokens")) == {0}
    assert set(bench.started("max_saved_prefix_bytes")) == {0}


async def test_a_board_that_slows_down_steadily_does_not_decide(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Scenario(by_process=[1.0, 1.04, 1.08, 1.12, 1.16]), NO_REPACK, Q8)
    await bench.tuner.run()
    assert bench.search.best == DEFAULT


async def test_a_candidate_that_other_work_disturbed_is_measured_again(tmp_path: Path) -> None:
    # The first measurement of the default came while another program computed.
    bench = Bench(tmp_path, Scenario(by_process=[10.0, 1.0, 1.0, 1.0, 1.0]), NO_REPACK)
    await bench.tuner.run()
    assert bench.started("repack") == [True, False, True, False, True]
    assert bench.verdicts == [Verdict.NO_GAIN]


async def test_a_candidate_that_is_always_disturbed_is_left_out(tmp_path: Path) -> None:
    scenario = Scenario(by_process=[1.0, 1.0, 2.0, 1.0, 1.0, 1.0, 2.0], factors={"repack=false": [0.1, 0.1]})
    bench = Bench(tmp_path, scenario, NO_REPACK)
    await bench.tuner.run()
    assert bench.verdicts == [Verdict.SKIPPED]
    assert bench.search.best == DEFAULT
    assert "other work" in bench.search.trials[0].reason


async def test_a_candidate_that_cannot_be_loaded_is_left_behind(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Scenario(unloadable=["repack=false"]), NO_REPACK, Q8)
    await bench.tuner.run()
    assert bench.verdicts == [Verdict.FAILED, Verdict.NO_GAIN]
    assert "no memory for repack=false" in bench.search.trials[0].reason


async def test_a_default_that_cannot_be_loaded_ends_the_search(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Scenario(unloadable=["repack=true"]), NO_REPACK)
    with pytest.raises(MeasurementError, match="no memory for repack=true"):
        await bench.tuner.run()
    assert bench.verdicts == []


async def test_a_candidate_for_which_there_is_no_memory_is_not_started(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Scenario(), NO_REPACK, Q8, fits=lambda settings: settings.repack)
    await bench.tuner.run()
    assert bench.verdicts == [Verdict.SKIPPED, Verdict.NO_GAIN]
    assert False not in bench.started("repack")


async def test_without_memory_for_any_second_engine_none_is_started(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Scenario(), NO_REPACK, fits=lambda settings: False)
    with pytest.raises(MeasurementError, match="stop the service and run edge-agent bench --tune"):
        await bench.tuner.run()
    assert bench.started("repack") == []


async def test_nothing_is_measured_where_there_is_nothing_to_try(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Scenario())
    await bench.tuner.run()
    assert bench.started("repack") == []


async def test_what_a_throttled_board_did_is_thrown_away_and_measured_again_later(tmp_path: Path) -> None:
    states = iter([ThermalState.NOMINAL, ThermalState.NOMINAL, ThermalState.NOMINAL, ThermalState.THROTTLED])
    bench = Bench(
        tmp_path,
        Scenario(factors={"repack=false": [0.5, 0.5]}),
        NO_REPACK,
        device=lambda: DeviceSnapshot((), next(states, ThermalState.NOMINAL)),
    )
    with pytest.raises(ThrottledError, match="cool it"):
        await bench.tuner.run()
    assert bench.verdicts == []
    await bench.tuner.run()
    assert bench.verdicts == [Verdict.TAKEN]
    assert bench.started("repack") == [True, False, True, False, True]


async def test_a_cancelled_tuner_leaves_no_process_and_goes_on_where_it_was(tmp_path: Path) -> None:
    hanging = Bench(tmp_path, Scenario(is_hanging=True), NO_REPACK)
    running = asyncio.create_task(hanging.tuner.run())
    await started_one(hanging)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert child_pids() == set()
    write_scenario(tmp_path, Scenario())
    await hanging.tuner.run()
    assert hanging.verdicts == [Verdict.NO_GAIN]
