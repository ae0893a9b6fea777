"""What every command is handed: the environment it was started in, and how to get a configuration out of it.

Click carries it as `ctx.obj` (`@click.pass_obj`). It knows no command and reads nothing by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from edge_agent.config import Config
from edge_agent.config_file import configured_keys, load_config, state_dir


class CommandContext(Struct, frozen=True):
    """The environment variables as they were at start; tests hand in their own."""

    environ: Mapping[str, str]

    def config(self, config_file: Path | None, overrides: Mapping[str, object]) -> Config:
        """The effective configuration; `overrides` are the command line's dotted keys. Raises ConfigError."""
        return load_config(file=config_file, environ=self.environ, overrides=overrides)

    def configured_keys(self, config_file: Path | None) -> frozenset[str]:
        """The dotted keys that file or environment set, right or wrong. Raises ConfigError if it is no YAML."""
        return configured_keys(file=config_file, environ=self.environ)

    def state_dir(self, config: Config) -> Path:
        """The folder of all state; not created here. Raises ConfigError when nothing says where it is."""
        return state_dir(config, self.environ)
