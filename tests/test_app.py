"""The service as a whole, in this process, in front of an engine process that follows a script."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from edge_agent import app
from edge_agent.app import serve
from edge_agent.config import Config, ModelSection, ModelsSection, SchedulerSection, ServerSection, TelemetrySection
from edge_agent.engine_settings import engine_settings, num_physical_cores
from edge_agent.errors import ConfigError, ModelNotFoundError
from edge_agent.models.store import ModelFile
from edge_agent.protocol import Accepted, EngineSettings, SequenceReport, Tokenized
from edge_agent.service import Service, service_running
from tests.api.service import sample
from tests.engine_client.scripted_engine import (
    READY,
    AnyInstruction,
    Await,
    Exit,
    Reply,
    Say,
    Serve,
    count_lives,
    make_finished,
    make_report,
    write_script,
)

MESSAGES = {"messages": [{"role": "user", "content": "hi"}]}
ENDLESS: list[AnyInstruction] = [READY, Serve(is_endless=True)]


def make_config(*, port: int = 0, drain_seconds: float = 30.0, telemetry: TelemetrySection | None = None) -> Config:
    return Config(
        server=ServerSection(port=port, drain_seconds=drain_seconds),
        telemetry=telemetry or TelemetrySection(),
        model=ModelSection(threads=1),
    )


@pytest.fixture
def model_file(smollm2_path: Path) -> ModelFile:
    """A file that passes the check; no script reads it."""
    return ModelFile(alias="tiny", path=smollm2_path, size_bytes=smollm2_path.stat().st_size, sha256="ab" * 32)


@contextlib.asynccontextmanager
async def running(
    config: Config, model_file: ModelFile, tmp_path: Path, *lives: list[AnyInstruction]
) -> AsyncIterator[tuple[Service, aiohttp.ClientSession]]:
    command = write_script(tmp_path / "script", *lives)
    async with (
        service_running(
            config, model_file=model_file, environ=os.environ, state_dir=tmp_path, engine_command=command
        ) as service,
        aiohttp.ClientSession(base_url=service.urls[0]) as http,
    ):
        yield service, http


async def get(http: aiohttp.ClientSession, path: str) -> tuple[int, str]:
    async with http.get(path) as response:
        return response.status, await response.text()


async def open_stream(http: aiohttp.ClientSession) -> aiohttp.ClientResponse:
    """A stream of which the first token has come."""
    response = await http.post("/v1/chat/completions", json={**MESSAGES, "stream": True})
    await response.content.readuntil(b"\n\n")
    return response


# --- running -----------------------------------------------------------------------------------------------------


async def test_service_listens_before_the_model_is_loaded(model_file: ModelFile, tmp_path: Path) -> None:
    async with running(make_config(), model_file, tmp_path, [Await("stop")]) as (_, http):
        assert await get(http, "/health") == (200, '{"status":"ok"}')
        status, text = await get(http, "/ready")
        assert (status, '"status":"loading"' in text) == (503, True)
        async with http.post("/v1/chat/completions", json=MESSAGES) as response:
            assert response.status == 503
            assert int(response.headers["Retry-After"]) >= 1


async def test_loaded_model_answers_and_is_counted(model_file: ModelFile, tmp_path: Path) -> None:
    async with running(make_config(), model_file, tmp_path, [READY, Serve()]) as (service, http):
        await service.engine.wait_settled()
        assert await get(http, "/ready") == (200, '{"status":"ready"}')
        async with http.post("/v1/chat/completions", json=MESSAGES) as response:
            answer = await response.json()
        assert answer["choices"][0]["message"]["content"] == "Hello world"
        assert answer["model"] == "tiny"
        registry = service.telemetry.registry
        assert sample(registry, "edge_agent_requests_total", endpoint="chat", outcome="ok", model="tiny") == 1
        assert sample(registry, "edge_agent_requests_finished_total", finish_reason="stop") == 1
        assert sample(registry, "edge_agent_model_info", file_sha256="abababababab") == 1


async def test_client_that_leaves_frees_its_sequence_in_the_engine(model_file: ModelFile, tmp_path: Path) -> None:
    async with running(make_config(), model_file, tmp_path, ENDLESS) as (service, http):
        await service.engine.wait_settled()
        response = await open_stream(http)
        assert service.engine.num_running == 1
        response.close()
        async with http.post("/v1/chat/completions", json={**MESSAGES, "max_tokens": 50}) as other:
            assert other.status == 200
            await other.read()
        registry = service.telemetry.registry
        assert service.engine.num_running == 0
        assert sample(registry, "edge_agent_requests_finished_total", finish_reason="cancelled") == 1
        assert sample(registry, "edge_agent_requests_total", endpoint="chat", outcome="cancelled") == 1


async def test_engine_that_ends_costs_its_answers_and_not_the_service(model_file: ModelFile, tmp_path: Path) -> None:
    lives: list[list[AnyInstruction]] = [[READY, Await("submit"), Exit(1)], [READY, Serve()]]
    async with running(make_config(), model_file, tmp_path, *lives) as (service, http):
        await service.engine.wait_settled()
        async with http.post("/v1/chat/completions", json=MESSAGES) as response:
            assert response.status == 503
            assert (await response.json())["error"]["code"] == "engine_lost"
        assert await get(http, "/health") == (200, '{"status":"ok"}')
        assert sample(service.telemetry.registry, "edge_agent_engine_restarts_total", cause="crash") == 1


async def test_file_that_is_no_model_leaves_a_service_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / "page.gguf"
    path.write_text("<!doctype html>")
    page = ModelFile(alias="page", path=path, size_bytes=15, sha256=None)
    async with running(make_config(), page, tmp_path, [READY, Serve()]) as (service, http):
        await service.engine.wait_settled()
        status, text = await get(http, "/ready")
        assert (status, '"status":"load_failed"' in text, "page.gguf" in text) == (503, True, True)
        assert count_lives(tmp_path / "script") == 0


async def test_metrics_move_to_a_listener_of_their_own(model_file: ModelFile, tmp_path: Path) -> None:
    config = make_config(telemetry=TelemetrySection(port=0))
    async with running(config, model_file, tmp_path, [Await("stop")]) as (service, http):
        assert (await get(http, "/metrics"))[0] == 404
        async with http.get(service.metrics_urls[0] + "/metrics") as response:
            assert "edge_agent_engine_up 0.0" in await response.text()
        async with http.get(service.metrics_urls[0] + "/v1/models") as response:
            assert response.status == 404


async def test_port_in_use_is_a_configuration_error_and_starts_no_engine(model_file: ModelFile, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"server\.port is {port}, and another program listens there"):
            async with running(make_config(port=port), model_file, tmp_path, [READY, Serve()]):
                pytest.fail("the service must not run")
    assert count_lives(tmp_path / "script") == 0


async def test_address_of_another_machine_is_a_configuration_error(model_file: ModelFile, tmp_path: Path) -> None:
    config = Config(server=ServerSection(host="203.0.113.7", port=0))
    with pytest.raises(ConfigError, match=r"server\.host is '203\.0\.113\.7', and nothing can listen there"):
        async with running(config, model_file, tmp_path, [READY, Serve()]):
            pytest.fail("the service must not run")


def test_missing_model_file_is_told_before_anything_runs(tmp_path: Path) -> None:
    config = Config(models=ModelsSection(dir=str(tmp_path)))
    with pytest.raises(ModelNotFoundError, match="edge-agent models pull smollm2-135m-instruct"):
        app.run(config, environ={}, state_dir=tmp_path)


# --- the end -----------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def served(
    config: Config, model_file: ModelFile, tmp_path: Path, life: list[AnyInstruction]
) -> AsyncIterator[tuple[asyncio.Task[int], aiohttp.ClientSession]]:
    """`serve`, as the command line runs it."""
    command = write_script(tmp_path / "script", life)
    serving = asyncio.create_task(
        serve(config, model_file=model_file, environ=os.environ, state_dir=tmp_path, engine_command=command)
    )
    async with aiohttp.ClientSession(base_url=f"http://127.0.0.1:{config.server.port}") as http:
        await wait_ready(http)
        yield serving, http


async def wait_ready(http: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(aiohttp.ClientConnectorError):
                if (await get(http, "/ready"))[0] == 200:
                    return
            await asyncio.sleep(0.02)


async def test_first_signal_lets_the_open_answer_finish_and_refuses_new_ones(
    model_file: ModelFile, tmp_path: Path, unused_tcp_port: int
) -> None:
    # The answer's second half waits for a text to tokenise, which is this test's word to go on.
    life: list[AnyInstruction] = [
        READY,
        Await("submit"),
        Reply(Accepted(1, num_prompt_tokens=4)),
        Say(make_report(SequenceReport(1, text="Hello", tokens=[1]))),
        Await("tokenize"),
        Reply(Tokenized(2, tokens=[], pieces=[])),
        Say(make_finished(1)),
        Serve(),
    ]
    async with served(make_config(port=unused_tcp_port), model_file, tmp_path, life) as (serving, http):
        response = await open_stream(http)
        os.kill(os.getpid(), signal.SIGTERM)
        async with http.post("/v1/chat/completions", json=MESSAGES) as refused:
            assert refused.status == 503
            assert "shutting down" in await refused.text()
        status, text = await get(http, "/ready")
        assert (status, '"status":"stopping"' in text) == (503, True)
        async with http.post("/tokenize", json={"content": "go on"}) as tokenized:
            assert tokenized.status == 200
        assert (await response.content.read()).endswith(b"data: [DONE]\n\n")
        assert await serving == 0


@pytest.mark.parametrize(
    ("drain_seconds", "num_signals"), [(0.0, 1), (3600.0, 2)], ids=["time is over", "second signal"]
)
async def test_answer_that_does_not_finish_is_told_that_it_is_lost(
    model_file: ModelFile, tmp_path: Path, unused_tcp_port: int, drain_seconds: float, num_signals: int
) -> None:
    config = make_config(port=unused_tcp_port, drain_seconds=drain_seconds)
    async with served(config, model_file, tmp_path, ENDLESS) as (serving, http):
        response = await open_stream(http)
        for _ in range(num_signals):
            os.kill(os.getpid(), signal.SIGTERM)
            # A round trip, so that the signals come one by one.
            await get(http, "/health")
        text = (await response.content.read()).decode()
        assert '"code":"engine_lost"' in text.split("data: ")[-1]
        assert await serving == 0


# --- what the engine is told, and the log ------------------------------------------------------------------------


def test_engine_settings_are_the_configuration_in_the_engines_units() -> None:
    config = Config(
        model=ModelSection(context_length=2048, kv_cache_type="q8_0", threads=3, gpu_layers=0, mlock=True),
        scheduler=SchedulerSection(max_sequences=2, target_inter_token_ms=125),
    )
    model_file = ModelFile(alias="tiny", path=Path("/models/tiny.gguf"), size_bytes=1, sha256=None)
    assert engine_settings(config, model_file) == EngineSettings(
        model_path="/models/tiny.gguf",
        context_length=2048,
        max_sequences=2,
        max_batch_tokens=512,
        max_step_seconds=5.0,
        target_inter_token_seconds=0.125,
        max_saved_prefix_bytes=64 * 1024 * 1024,
        max_draft_tokens=16,
        kv_cache_type="q8_0",
        flash_attention=True,
        micro_batch_tokens=512,
        repack=True,
        swa_full=True,
        num_threads=3,
        num_threads_batch=3,
        num_gpu_layers=0,
        mmap=True,
        mlock=True,
        model_digest="",
        prefix_folder="",
        max_disk_prefix_bytes=512 * 1024 * 1024,
    )


def cpu_folder(tmp_path: Path, siblings: dict[int, str]) -> Path:
    for cpu, text in siblings.items():
        topology = tmp_path / f"cpu{cpu}" / "topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(text + "\n")
    return tmp_path


def test_hyperthreads_of_a_core_count_once(tmp_path: Path) -> None:
    folder = cpu_folder(tmp_path, {0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"})
    assert num_physical_cores(folder, usable={0, 1, 2, 3}) == 2


def test_cores_that_the_process_may_not_use_do_not_count(tmp_path: Path) -> None:
    folder = cpu_folder(tmp_path, {0: "0", 1: "1", 2: "2", 3: "3"})
    assert num_physical_cores(folder, usable={1, 2, 3}) == 3


def test_cpus_without_topology_count_as_cores(tmp_path: Path) -> None:
    assert num_physical_cores(tmp_path, usable={0, 1, 2, 3}) == 4


async def test_log_has_one_line_a_listener_with_its_url(
    model_file: ModelFile, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        async with running(make_config(), model_file, tmp_path, [Await("stop")]) as (service, _):
            assert service.urls[0].startswith("http://127.0.0.1:")
    assert [r.getMessage() for r in caplog.records if "listening" in r.getMessage()] == [
        f"listening url={service.urls[0]}"
    ]
