"""The `edge-agent` program: its commands, and how each of their errors ends up as a line on standard error.

The only place that reads the environment; arguments are left to click. Exit codes: 0 done, 1 the answer to a chat
failed, 2 wrong usage, configuration or model, 130 interrupted. aiohttp and rich are imported only by what needs them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from edge_agent import __version__
from edge_agent.cli import bench, chat, config, models, serve
from edge_agent.cli.context import CommandContext
from edge_agent.errors import EdgeAgentError
from edge_agent.logging_setup import escaped

INTERRUPTED = 130  # 128 + SIGINT, as a shell has it


@click.group(name="edge-agent", commands=[serve.serve, chat.chat, bench.bench, models.models, config.config])
@click.version_option(__version__, prog_name="edge-agent", message="%(prog)s %(version)s")
def commands() -> None:
    """Serve a local LLM on a small machine, and know from far away how it does."""


def main() -> int:
    """Entry point of the installed program. Returns the exit code."""
    return run_command_line(None, CommandContext(environ=dict(os.environ)))


def run_command_line(arguments: Sequence[str] | None, context: CommandContext) -> int:
    """Run one command and return the exit code; None takes the process's own arguments."""
    try:
        code = commands.main(arguments, prog_name="edge-agent", standalone_mode=False, obj=context)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        _complain(_click_message(error))
        return error.exit_code
    except EdgeAgentError as error:
        _complain(str(error))
        return 2
    except click.Abort:
        return INTERRUPTED
    return code if isinstance(code, int) else 0


def _click_message(error: click.ClickException) -> str:
    message = " ".join(error.format_message().split())
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"{message} See {error.ctx.command_path} --help."
    return message


def _complain(message: str) -> None:
    for line in message.split("\n"):
        click.echo(f"edge-agent: {escaped(line)}", err=True)
