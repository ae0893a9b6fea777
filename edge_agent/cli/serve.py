"""`edge-agent serve`: its options become the last word on the configuration, then the service runs until a signal.

What each option means stands in `config`; its help text is taken from there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from edge_agent.cli.context import CommandContext
from edge_agent.config import Config
from edge_agent.config_example import known_keys
from edge_agent.logging_setup import set_up_logging

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

KEY_OF_OPTION: Mapping[str, str] = {
    "host": "server.host",
    "port": "server.port",
    "context_length": "model.context_length",
    "max_sequences": "scheduler.max_sequences",
    "threads": "model.threads",
    "threads_batch": "model.threads_batch",
    "gpu_layers": "model.gpu_layers",
}


def configuration_options(command: Decorated) -> Decorated:
    """Give the command one option for each entry of KEY_OF_OPTION."""
    keys = known_keys()
    for name, key in reversed(tuple(KEY_OF_OPTION.items())):
        known = keys[key]
        flag = "--" + name.replace("_", "-")
        command = click.option(flag, name, type=type(known.default), help=f"{known.description} Sets {key}.")(command)
    return command


@click.command()
@click.option(
    "--config", "config_file", metavar="FILE", type=click.Path(path_type=Path), help="Configuration, in YAML."
)
@click.option("--model", metavar="NAME|PATH", help="A name that edge-agent models list shows, or a GGUF file.")
@configuration_options
@click.pass_obj
def serve(context: CommandContext, /, config_file: Path | None, model: str | None, **options: object) -> int:
    """Load a model and answer requests until SIGINT or SIGTERM."""
    config = effective_config(context, config_file, model, options)
    state_dir = context.state_dir(config)
    set_up_logging(config.log, sys.stderr)
    from edge_agent.app import run  # noqa: PLC0415 (aiohttp takes half a second to import on a Pi)

    return run(config, environ=context.environ, state_dir=state_dir)


def effective_config(
    context: CommandContext, config_file: Path | None, model: str | None, options: Mapping[str, object]
) -> Config:
    """The configuration with the given options on top; None is an option not given. Raises ConfigError."""
    overrides = {KEY_OF_OPTION[name]: value for name, value in options.items() if value is not None}
    if model is not None:
        overrides |= model_overrides(model, context.configured_keys(config_file))
    return context.config(config_file, overrides)


def model_overrides(model: str, configured: frozenset[str]) -> dict[str, object]:
    """What `--model` sets: a path keeps a configured name as its alias, a name leaves a configured path behind."""
    if "/" not in model and not model.lower().endswith(".gguf"):
        return {"model.name": model, "model.path": None}
    if "model.name" in configured:
        return {"model.path": model}
    return {"model.path": model, "model.name": Path(model).stem}
