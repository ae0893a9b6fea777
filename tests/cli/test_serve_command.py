from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edge_agent.cli.context import CommandContext
from edge_agent.cli.serve import KEY_OF_OPTION, effective_config, model_overrides
from edge_agent.config import Config, ModelSection, SchedulerSection, ServerSection

NOTHING_SET = CommandContext(environ={})


def test_without_options_the_configuration_is_that_of_file_and_environment() -> None:
    options = dict.fromkeys(KEY_OF_OPTION)

    assert effective_config(NOTHING_SET, None, None, options) == Config()


def test_each_option_sets_its_key() -> None:
    options = {
        "host": "::1",
        "port": 1,
        "context_length": 512,
        "max_sequences": 2,
        "threads": 3,
        "threads_batch": 4,
        "gpu_layers": 0,
    }

    assert effective_config(NOTHING_SET, None, None, options) == Config(
        server=ServerSection(host="::1", port=1),
        model=ModelSection(context_length=512, threads=3, threads_batch=4, gpu_layers=0),
        scheduler=SchedulerSection(max_sequences=2),
    )


@pytest.mark.parametrize("model", ["./house", "/srv/house.gguf", "house.gguf", "HOUSE.GGUF", "models/house.gguf"])
def test_a_path_is_named_after_its_file(model: str) -> None:
    assert model_overrides(model, frozenset({"model.path"})) == {"model.path": model, "model.name": Path(model).stem}


def test_a_path_keeps_the_name_that_was_configured(tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text("model: {name: smollm2-135m-instruct}")

    model = effective_config(NOTHING_SET, file, "/srv/house.gguf", {}).model

    assert (model.name, model.path) == ("smollm2-135m-instruct", "/srv/house.gguf")


def test_a_name_leaves_the_configured_path_behind() -> None:
    context = CommandContext(environ={"EDGE_AGENT_MODEL__PATH": "/srv/house.gguf"})

    model = effective_config(context, None, "qwen3-4b-instruct-2507", {}).model

    assert (model.name, model.path) == ("qwen3-4b-instruct-2507", None)


def test_a_model_file_that_is_not_there_ends_with_its_name_and_2(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "edge_agent", "serve", "--model", "/none/house.gguf"],
        env={"STATE_DIRECTORY": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith("edge-agent: ")
    assert "/none/house.gguf" in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
