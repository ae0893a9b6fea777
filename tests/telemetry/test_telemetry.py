from __future__ import annotations

import platform
import tomllib
from pathlib import Path

from edge_agent.telemetry.metric_table import METRIC_TABLE
from tests.telemetry.scripted_engine import scrape, telemetry_of

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def pinned_llama_cpp_version() -> str:
    dependencies = tomllib.loads(PYPROJECT.read_text())["project"]["dependencies"]
    (pin,) = (dependency for dependency in dependencies if dependency.startswith("llama-cpp-python=="))
    return str(pin).partition("==")[2]


def test_every_series_exists_at_zero_before_anything_happened() -> None:
    shown = scrape(telemetry_of())
    build = next(series for series in shown if series.startswith("build_info"))
    assert {series: value for series, value in shown.items() if value != 0} == {build: 1}
    names = {series.partition("{")[0] for series in shown}
    absent = [row.name for row in METRIC_TABLE if not names & {row.name, row.name + "_count"}]
    assert absent == ["model_info", "http_requests_total", "remote_write_requests_total"]


def test_requests_of_chat_and_completions_exist_with_every_outcome() -> None:
    requests = sorted(series for series in scrape(telemetry_of()) if series.startswith("requests_total{"))
    assert requests == [
        'requests_total{endpoint="chat",model="tiny",outcome="cancelled"}',
        'requests_total{endpoint="chat",model="tiny",outcome="client_error"}',
        'requests_total{endpoint="chat",model="tiny",outcome="ok"}',
        'requests_total{endpoint="chat",model="tiny",outcome="rejected"}',
        'requests_total{endpoint="chat",model="tiny",outcome="server_error"}',
        'requests_total{endpoint="completions",model="tiny",outcome="cancelled"}',
        'requests_total{endpoint="completions",model="tiny",outcome="client_error"}',
        'requests_total{endpoint="completions",model="tiny",outcome="ok"}',
        'requests_total{endpoint="completions",model="tiny",outcome="rejected"}',
        'requests_total{endpoint="completions",model="tiny",outcome="server_error"}',
    ]


def test_an_agent_without_a_model_or_a_board_exposes_fewer_than_310_series() -> None:
    text = telemetry_of().exposition.render("")[0].decode()
    assert sum(not line.startswith("#") for line in text.splitlines()) < 310


def test_the_agents_own_process_is_shown() -> None:
    text = telemetry_of().exposition.render("")[0].decode()
    names = {line.partition(" ")[0] for line in text.splitlines() if line.startswith("process_")}
    assert names == {
        "process_virtual_memory_bytes",
        "process_resident_memory_bytes",
        "process_start_time_seconds",
        "process_cpu_seconds_total",
        "process_open_fds",
        "process_max_fds",
    }


def test_the_build_names_its_three_versions() -> None:
    build = (
        f'build_info{{llama_cpp="{pinned_llama_cpp_version()}",python="{platform.python_version()}",version="9.8.7"}}'
    )
    assert scrape(telemetry_of())[build] == 1


def test_two_agents_of_one_process_share_no_metric() -> None:
    one, other = telemetry_of(), telemetry_of()
    one.service.http_started()
    assert (scrape(one)["http_requests_in_flight"], scrape(other)["http_requests_in_flight"]) == (1, 0)
