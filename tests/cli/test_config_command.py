from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from edge_agent.cli import commands, run_command_line
from edge_agent.cli.context import CommandContext
from edge_agent.config_example import example_yaml


def printed(*arguments: str, **environ: str) -> str:
    result = CliRunner().invoke(commands, ["config", *arguments], obj=CommandContext(environ=environ))
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def test_example_prints_the_example() -> None:
    assert printed("example") == example_yaml()


def test_show_prints_what_is_in_effect(tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text("server: {port: 1, max_messages: 5}\n")

    shown = yaml.safe_load(printed("show", "--config", str(file), EDGE_AGENT_SERVER__PORT="2"))

    assert (shown["server"]["port"], shown["server"]["max_messages"], shown["log"]["level"]) == (2, 5, "info")


def test_what_show_prints_is_a_configuration(tmp_path: Path) -> None:
    first = printed("show", EDGE_AGENT_MODEL__NAME="off", EDGE_AGENT_SERVER__PORT="2")
    file = tmp_path / "agent.yaml"
    file.write_text(first)

    assert printed("show", "--config", str(file)) == first


def test_check_says_ok(tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text("server: {port: 1}\n")

    assert printed("check", str(file)) == "ok\n"
    assert printed("check") == "ok\n"


def test_check_tells_each_problem_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text("server: {port: x}\n")

    context = CommandContext(environ={"EDGE_AGENT_LOG__FORMAT": "xml"})
    code = run_command_line(["config", "check", str(file)], context)

    assert code == 2
    assert capsys.readouterr().err == (
        f"edge-agent: {file}: server.port is 'x'; give a whole number from 0 to 65535\n"
        "edge-agent: environment variable EDGE_AGENT_LOG__FORMAT: log.format is 'xml'; give json or plain\n"
    )
