"""`edge-agent bench`: what this board does with a model, and which settings are fastest for it.

Results go to standard output, what is being measured meanwhile to standard error. Everything that measures is imported
inside the command, so that others start without it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from edge_agent.cli.context import CommandContext
from edge_agent.cli.serve import effective_config
from edge_agent.config import LogSection
from edge_agent.logging_setup import set_up_logging


@click.command()
@click.option(
    "--config", "config_file", metavar="FILE", type=click.Path(path_type=Path), help="Configuration, in YAML."
)
@click.option("--model", metavar="NAME|PATH", help="A name that edge-agent models list shows, or a GGUF file.")
@click.option(
    "--seconds",
    type=click.FloatRange(1, 3600),
    default=60.0,
    show_default=True,
    help="About how long to measure; with --tune, each change of the settings.",
)
@click.option("--tune", is_flag=True, help="Find the fastest settings and keep them: the next start serves with them.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_obj
def bench(
    context: CommandContext,
    /,
    config_file: Path | None,
    model: str | None,
    *,
    seconds: float,
    tune: bool,
    as_json: bool,
) -> None:
    """Measure a model's speed on this machine: prefill, decode, first token, memory, heat."""
    config = effective_config(context, config_file, model, {})
    state_dir = context.state_dir(config)
    set_up_logging(_quiet(config.log), sys.stderr)
    from edge_agent.bench import Bench  # noqa: PLC0415 - asyncio and the engine's client, for this command alone
    from edge_agent.benchmark.bench_report import bench_table  # noqa: PLC0415
    from edge_agent.tuning.tuning_table import tuning_table  # noqa: PLC0415

    subject = Bench(config, environ=context.environ, state_dir=state_dir, seconds=seconds, say=_say)
    if tune:
        record = subject.tune()
        click.echo(_json(record) if as_json else tuning_table(record))
    else:
        report = subject.measure()
        click.echo(_json(report) if as_json else bench_table(report))


def _json(result: msgspec.Struct) -> str:
    return msgspec.json.format(msgspec.json.encode(result)).decode()


def _say(text: str) -> None:
    click.echo(text, err=True)


def _quiet(log: LogSection) -> LogSection:
    """Beside the progress, the engine's starts and ends are no news."""
    return msgspec.structs.replace(log, level="warning") if log.level == "info" else log
