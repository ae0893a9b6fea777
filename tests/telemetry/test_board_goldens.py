from __future__ import annotations

import subprocess

import pytest

from tests.telemetry.board_goldens import BOARDS, NAMES, exposition_of, golden_of, sampler_of
from tests.telemetry.scripted_engine import FACTS, telemetry_of


def test_every_fixture_board_is_compared() -> None:
    assert sorted(folder.name for folder in BOARDS.iterdir() if folder.is_dir()) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_board_is_exposed_as_written_down(name: str) -> None:
    assert exposition_of(name) == golden_of(name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_every_collector_of_a_fixture_board_succeeds(name: str) -> None:
    sampler = sampler_of(name)
    assert set(sampler.sample_once().values("collector_success").values()) == {1.0}


@pytest.mark.parametrize("name", NAMES)
def test_a_busy_agent_on_a_board_exposes_fewer_than_420_series(name: str) -> None:
    sampler = sampler_of(name)
    sampler.sample_once()
    telemetry = telemetry_of(device=sampler.snapshot)
    telemetry.engine.engine_ready(FACTS)
    for route in ("/v1/chat/completions", "/v1/models", "/metrics", "/status", "/ready", "/", "/static/{name}"):
        for code in (200, 503):
            telemetry.service.http_started()
            telemetry.service.http_ended(route=route, method="GET", code=code)
    # Two file systems, which the fixture has none of.
    num_series = 4 + sum(not line.startswith("#") for line in telemetry.exposition.render("")[0].decode().splitlines())
    assert 300 < num_series < 420


@pytest.mark.needs_prometheus
@pytest.mark.parametrize("name", NAMES)
def test_promtool_finds_nothing_to_criticise(name: str, promtool: str) -> None:
    sampler = sampler_of(name)
    sampler.sample_once()
    text = telemetry_of(device=sampler.snapshot).exposition.render("")[0]
    judged = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (judged.returncode, judged.stderr.decode()) == (0, "")
