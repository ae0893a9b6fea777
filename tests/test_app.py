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
from edge_agent.config import Config, ModelSection, ModelsSection, ServerSection, TelemetrySection
from edge_agent.errors import ConfigError, ModelNotFoundError
from edge_agent.models.store import ModelFile
from edge_agent.protocol import Accepted, SequenceReport, Tokenized
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
from tests.models.gguf_builder import u32, write_gguf

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


async def test_model_that_needs_more_memory_than_any_machine_has_leaves_a_service_that_says_so(tmp_path: Path) -> None:
    # 512 layers of 4,096 heads of 65,536 elements: half a terabyte for each token.
    numbers = {"block_count": 512, "attention.head_count": 4096, "attention.head_count_kv": 4096}
    numbers |= {"attention.key_length": 65536, "attention.value_length": 65536}
    path = write_gguf(tmp_path / "huge.gguf", {f"llama.{name}": u32(number) for name, number in numbers.items()})
    huge = ModelFile(alias="huge", path=path, size_bytes=path.stat().st_size, sha256=None)
    async with running(make_config(), huge, tmp_path, [READY, Serve()]) as (service, http):
        await service.engine.wait_settled()
        status, text = await get(http, "/ready")
        assert (status, '"status":"load_failed"' in text, "huge needs" in text) == (503, True, True)
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


# --- the log -----------------------------------------------------------------------------------------------------


async def test_log_has_one_line_a_listener_with_its_url(
    model_file: ModelFile, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        async with running(make_config(), model_file, tmp_path, [Await("stop")]) as (service, _):
            assert service.urls[0].startswith("http://127.0.0.1:")
    assert [r.getMessage() for r in caplog.records if "listening" in r.getMessage()] == [
        f"listening url={service.urls[0]}"
    ]
