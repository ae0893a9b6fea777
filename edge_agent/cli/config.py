"""`edge-agent config`: print an example of the configuration, print what is in effect, or check a file.

Nothing is started; `show` and `check` see what `serve` would see, the environment included.
"""

from __future__ import annotations

from pathlib import Path

import click
import msgspec
import yaml

from edge_agent.cli.context import CommandContext
from edge_agent.config_example import example_yaml


@click.group()
def config() -> None:
    """Print or check the configuration."""


@config.command()
def example() -> None:
    """Print every key with its default and what it means."""
    click.echo(example_yaml(), nl=False)


@config.command()
@click.option(
    "--config", "config_file", metavar="FILE", type=click.Path(path_type=Path), help="Configuration, in YAML."
)
@click.pass_obj
def show(context: CommandContext, config_file: Path | None) -> None:
    """Print what is in effect after file and environment."""
    effective = msgspec.to_builtins(context.config(config_file, {}))
    click.echo(yaml.safe_dump(effective, sort_keys=False, allow_unicode=True), nl=False)


@config.command()
@click.argument("config_file", metavar="[FILE]", type=click.Path(path_type=Path), required=False)
@click.pass_obj
def check(context: CommandContext, config_file: Path | None) -> None:
    """Say ok, or all that is wrong with FILE and the environment."""
    context.config(config_file, {})
    click.echo("ok")
