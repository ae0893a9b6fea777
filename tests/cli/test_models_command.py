"""`edge-agent models` as a user runs it, with a configuration that puts everything into a temporary folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge_agent.cli.context import CommandContext
from edge_agent.cli.models import models
from edge_agent.errors import EdgeAgentError, ModelNotFoundError
from tests.models.file_server import FileServer, Serving
from tests.models.gguf_builder import build_gguf, string, write_gguf

DATA = build_gguf()
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as running:
        yield running


class Command:
    """Runs the command group with an environment of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "state" / "models"
        self._context = CommandContext(environ={"EDGE_AGENT_STATE_DIR": str(folder / "state")})

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(models, list(arguments), obj=self._context)

    def output(self, *arguments: str) -> str:
        result = self.run(*arguments)
        assert result.exception is None, result.exception
        return result.output


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path)


def rows(table: str) -> dict[str, list[str]]:
    return {line.split()[0]: line.split() for line in table.splitlines() if line.strip()}


def ignoring_memory(folder: Path, **model: object) -> str:
    """A configuration whose table is the same on every machine."""
    config = folder / "config.yaml"
    usual = {"kv_cache_type": "f16", "repack": False, "micro_batch_tokens": 512, "memory_fit": "ignore"}
    config.write_text(json.dumps({"model": {**usual, **model}}))
    return str(config)


def test_list_shows_every_known_model_with_size_and_need(command: Command, tmp_path: Path) -> None:
    table = command.output("list", "--config", ignoring_memory(tmp_path))
    assert table.splitlines()[0].split() == ["NAME", "HERE", "SIZE", "MEMORY", "FITS", "LICENCE"]
    by_name = rows(table)
    assert by_name["smollm2-135m-instruct"][1:6] == ["no", "98", "MB", "407", "MB"]
    assert by_name["qwen3-4b-instruct-2507"][1:6] == ["no", "2.50", "GB", "3.41", "GB"]
    assert "an estimate for 4096 tokens of context" in table


def test_list_shows_what_is_here_and_what_is_begun(command: Command, tmp_path: Path) -> None:
    command.output("add", "own", str(write_gguf(tmp_path / "own.gguf", {"general.name": string("[red]Own[/red]")})))
    command.output("pull", "own")
    (command.folder / "Qwen3-0.6B-Q4_K_M.gguf.partial").write_bytes(bytes(2000))
    by_name = rows(command.output("list"))
    assert by_name["own"][1] == "yes"
    assert by_name["qwen3-0.6b"][1:5] == ["2", "kB", "of", "it"]


def test_list_follows_the_configured_context_length(command: Command, tmp_path: Path) -> None:
    table = command.output("list", "--config", ignoring_memory(tmp_path, context_length=8192))
    assert "an estimate for 8192 tokens of context" in table
    # As many cells again: 94 MB of keys and values, and 4 MB of masks.
    assert rows(table)["smollm2-135m-instruct"][4:6] == ["505", "MB"]


def test_a_model_is_added_pulled_verified_and_removed(command: Command, server: FileServer) -> None:
    url = server.serve("/mine.gguf", Serving(data=DATA))
    assert "edge-agent models pull mine" in command.output("add", "mine", url, "--sha256", SHA256.upper())
    pulled = command.output("pull", "mine")
    assert f"mine is here: {command.folder}/mine.gguf (2 kB)" in pulled
    assert command.output("verify", "mine") == f"mine is whole: sha256 {SHA256}\n"
    assert command.output("remove", "mine") == "mine is removed, 2 kB freed\n"
    assert isinstance(command.run("verify", "mine").exception, ModelNotFoundError)


def test_progress_of_a_piped_pull_is_a_line_for_each_tenth(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "long.gguf"
    path.write_bytes(DATA + bytes(30 * 1024 * 1024 - len(DATA)))
    command.output("add", "long", str(path))
    result = command.run("pull", "long")
    lines = [line for line in result.stderr.splitlines() if line.startswith("long: ")]
    assert len(lines) == 11
    assert (lines[0], lines[-1]) == ("long: 1 MB of 31 MB", "long: 31 MB of 31 MB")
    assert "long is here" in result.stdout


def test_models_dir_of_the_configuration_is_used(command: Command, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"models: {{dir: {tmp_path}/elsewhere}}\n")
    command.output("add", "own", str(write_gguf(tmp_path / "own.gguf")), "--config", str(config))
    command.output("pull", "own", "--config", str(config))
    assert (tmp_path / "elsewhere" / "own.gguf").read_bytes() == DATA


def test_errors_are_left_to_whoever_runs_the_command(command: Command) -> None:
    for arguments in (("pull", "absent"), ("verify", "gemma-3-270m"), ("remove", "absent"), ("add", "x", "ftp://x")):
        assert isinstance(command.run(*arguments).exception, EdgeAgentError)
