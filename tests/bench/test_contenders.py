from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml

from edge_agent.config_file import load_config

from .contenders import Work, edge_agent, llama_server, python_server
from .load import BenchError
from .servers import Server, running
from .suites import TUNED_FOR_DECODE

WORK = Work(model=Path("/models/m.gguf"), num_threads=2, context_length=8192, num_sequences=4)


def test_llama_server_has_one_kv_cache_for_all_and_further_words_last() -> None:
    command = llama_server(Path("/bin/llama-server"), WORK, "--spec-type", "ngram-simple").command(8081)
    assert " ".join(command) == (
        "/bin/llama-server -m /models/m.gguf -t 2 -c 8192 -np 4 -kvu --spec-type ngram-simple --port 8081"
    )


def test_the_python_server_runs_in_the_environment_that_was_made_for_it() -> None:
    server = python_server({"PYTHONPATH": "/extra"}, WORK)
    assert server.environment == {"PYTHONPATH": "/extra"}
    assert server.command(8081)[-6:] == ["--n_threads", "2", "--n_threads_batch", "2", "--port", "8081"]


def test_edge_agent_is_told_the_work_by_a_configuration_that_it_takes(tmp_path: Path) -> None:
    command = edge_agent(tmp_path, WORK, TUNED_FOR_DECODE).command(8081)
    config = load_config(file=Path(command[command.index("--config") + 1]), environ={}, overrides={})
    assert config.state_dir == str(tmp_path)
    assert config.scheduler.max_sequences == 4
    assert (config.model.path, config.model.context_length, config.model.threads) == ("/models/m.gguf", 8192, 2)
    assert (config.model.tune, config.model.repack, config.model.kv_cache_type) == ("never", True, "q8_0")


def test_a_setting_goes_before_what_the_work_says(tmp_path: Path) -> None:
    edge_agent(tmp_path, WORK, {"model.threads": 1})
    assert yaml.safe_load((tmp_path / "edge-agent.yaml").read_text())["model"]["threads"] == 1
    assert json.loads((tmp_path / "edge-agent.yaml").read_text())["model"]["tune"] == "never"


def test_a_launcher_stands_before_the_command(tmp_path: Path) -> None:
    assert edge_agent(tmp_path, WORK, {}, launcher=("nice", "-n1")).command(1)[:3] == ["nice", "-n1", sys.executable]


def test_a_server_that_ends_before_it_is_ready_shows_its_last_lines() -> None:
    code = "import sys; sys.exit('no such model')"
    with pytest.raises(BenchError, match="no such model"), running(Server(lambda _: [sys.executable, "-c", code], "/")):
        pass


def test_a_server_runs_until_it_is_no_longer_needed() -> None:
    code = "import http.server as h, sys; h.test(h.SimpleHTTPRequestHandler, port=int(sys.argv[1]), bind='127.0.0.1')"
    with running(Server(lambda port: [sys.executable, "-c", code, str(port)], "/")) as server:
        assert server.url.startswith("http://127.0.0.1:")
        assert Path(f"/proc/{server.pid}").exists()
    assert not Path(f"/proc/{server.pid}").exists()
