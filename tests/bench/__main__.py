"""`make bench`: edge-agent and llama-server on the same work in turn, as a table of ratios and a picture."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections import defaultdict
from pathlib import Path

from edge_agent.models.catalog import shipped_catalog
from edge_agent.models.store import ModelStore

from .bar_chart import bar_chart
from .comparison import Row, markdown, rows_of
from .llama_server import llama_server
from .load import Figures, measure
from .servers import Work, edge_agent_command, free_port, llama_server_command, running
from .workload import users_of

PROJECT = Path(__file__).parents[2]
RIVAL = "llama-server"
WORKLOADS = ("distinct1", "distinct8", "shared8", "turns", "intrude", "copy")


def main() -> int:
    """Measure, print, draw."""
    options = _options()
    store = ModelStore(folder=Path.home() / ".local/state/edge-agent/models", catalog=shipped_catalog())
    model = options.model or store.resolve(name="smollm2-135m-instruct", path=None).path
    work = Work(
        model=model, num_threads=options.threads, context_length=options.context_length,
        num_sequences=options.sequences,
    )  # fmt: skip
    rows = _compare(work, options.workloads, num_rounds=options.rounds)
    table = markdown(rows, rival=RIVAL)
    sys.stdout.write(f"\n{table}")
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "comparison.md").write_text(table, encoding="utf-8")
    (options.out / "comparison.svg").write_text(bar_chart(rows, rival=RIVAL), encoding="utf-8")
    sys.stdout.write(f"\n{options.out}/comparison.svg\n")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("workloads", nargs="*", default=WORKLOADS, help=f"default: {' '.join(WORKLOADS)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", type=Path, help="a GGUF file; default: the small model")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--context-length", type=int, default=16384)
    parser.add_argument("--sequences", type=int, default=8)
    parser.add_argument("--out", type=Path, default=PROJECT / "docs" / "bench")
    options = parser.parse_args()
    for name in options.workloads:
        try:
            users_of(name, salt="")
        except ValueError as error:
            parser.error(str(error))
    return options


def _compare(work: Work, workloads: list[str], *, num_rounds: int) -> list[Row]:
    """Both are up all the time, and only one is asked at a time: an idle server costs next to nothing."""
    program = llama_server(PROJECT / ".cache" / "bench")
    their_port, our_port = free_port(), free_port()
    theirs: dict[str, list[Figures]] = defaultdict(list)
    ours: dict[str, list[Figures]] = defaultdict(list)
    with (
        running(llama_server_command(program, work, port=their_port), port=their_port, ready_path="/health") as rival,
        running(edge_agent_command(work, port=our_port), port=our_port, ready_path="/ready") as url,
    ):
        for number in range(num_rounds):
            for name in workloads:
                users = users_of(name, salt=str(number))
                theirs[name].append(asyncio.run(measure(rival, users)))
                ours[name].append(asyncio.run(measure(url, users)))
                sys.stdout.write(f"round {number + 1} of {num_rounds}: {name}\n")
                sys.stdout.flush()
    return [row for name in workloads for row in rows_of(name, theirs[name], ours[name])]


if __name__ == "__main__":
    sys.exit(main())
