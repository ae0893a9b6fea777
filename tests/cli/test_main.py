from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edge_agent import __version__
from edge_agent.cli import run_command_line
from edge_agent.cli.context import CommandContext


def outcome(capsys: pytest.CaptureFixture[str], *arguments: str, **environ: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    code = run_command_line(arguments, CommandContext(environ=environ))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(capsys, "--version") == (0, f"edge-agent {__version__}\n", "")


def test_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = outcome(capsys, "--help")

    assert code == 0
    assert [line.split()[0] for line in out.split("Commands:\n")[1].splitlines()] == [
        "bench",
        "chat",
        "config",
        "models",
        "serve",
    ]


def test_no_command_at_all_shows_the_help_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = outcome(capsys)

    assert (code, out) == (2, "")
    assert err.startswith("Usage: edge-agent [OPTIONS] COMMAND")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["serve", "--prt", "1"], "No such option '--prt'. Did you mean '--port'? See edge-agent serve --help."),
        (["serv"], "No such command 'serv'. Did you mean 'serve'? See edge-agent --help."),
        (
            ["serve", "--port", "x"],
            "Invalid value for '--port': 'x' is not a valid integer. See edge-agent serve --help.",
        ),
        (["config", "check", "a", "b"], "Got unexpected extra argument (b) See edge-agent config check --help."),
    ],
)
def test_wrong_usage_is_one_line_with_the_remedy(
    capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    assert outcome(capsys, *arguments) == (2, "", f"edge-agent: {line}\n")


def test_each_configuration_problem_is_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(capsys, "serve", "--port", "99999", "--threads", "-3") == (
        2,
        "",
        "edge-agent: command line: server.port is 99999; give a whole number from 0 to 65535\n"
        "edge-agent: command line: model.threads is -3; give a whole number from 0 to 512\n",
    )


def test_a_message_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(capsys, "config", "check", "/none/\x1b[2J") == (
        2,
        "",
        "edge-agent: /none/\\x1b[2J: No such file or directory; give a file that can be read\n",
    )


def test_the_environment_of_the_process_counts(tmp_path: Path) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "edge_agent", "config", "show"],
        env={"EDGE_AGENT_SERVER__PORT": "7"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "\n  port: 7\n" in shown.stdout


def test_the_installed_program_is_the_module() -> None:
    program = Path(sys.executable).with_name("edge-agent")

    shown = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)

    assert shown.stdout == f"edge-agent {__version__}\n"


LARGE_LIBRARIES = "{'aiohttp', 'asyncio', 'llama_cpp', 'numpy', 'prometheus_client', 'rich'}"


def test_help_imports_none_of_the_large_libraries() -> None:
    program = (
        f"import sys; from edge_agent.cli import main; main(); sys.exit(str({LARGE_LIBRARIES} & set(sys.modules)))"
    )

    shown = subprocess.run([sys.executable, "-c", program, "--help"], capture_output=True, text=True, check=False)

    assert shown.stdout.startswith("Usage: edge-agent ")
    assert shown.stderr == "set()\n"
