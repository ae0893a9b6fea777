"""Runs one suite from its description to its rows: fetches files, starts servers, asks them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from .comparison import Figure, Row, better_of
from .contenders import Work, edge_agent, llama_server, python_server
from .goals import BETTER, LLAMA_SERVER, NGRAM, PYTHON_SERVER, with_goals
from .llama_server import llama_server as build_llama_server
from .memory_limit import measure_memory
from .model_files import ModelFiles
from .prefix_restart import measure_restarts
from .python_server import python_server_environment
from .rounds import Contender, compare_with, take_rounds
from .serving_cost import measure_cost
from .suites import PARTS, SMALL_MODEL, Part, Rival

OURS = "edge-agent"
# Minutes that a suite takes on two cores of a PC: before its rounds, and a round.
MINUTES: Mapping[str, tuple[float, float]] = {
    "small": (0.5, 2.0),
    "gemma": (0.2, 1.0),
    "4b": (1.5, 5.0),
    "restart": (0.0, 0.4),
    "cost": (1.0, 0.0),
    "memory": (1.5, 0.0),
}
SUITES = tuple(MINUTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRun:
    """What holds for all suites of a run. `settings` are laid over those of our servers; `say` is told of progress."""

    files: ModelFiles
    cache: Path
    environ: Mapping[str, str]
    num_threads: int
    num_rounds: int
    settings: Mapping[str, object]
    say: Callable[[str], None]

    def rows(self, suite: str, workloads: Sequence[str]) -> list[Row]:
        """The suite's rows with their goals; `workloads` narrows it down, empty is all. Raises BenchError."""
        return with_goals(suite, self._rows(suite, workloads))

    def _rows(self, suite: str, workloads: Sequence[str]) -> list[Row]:
        match suite:
            case "restart":
                work = self._work(self.files.of_catalog(SMALL_MODEL), context_length=4096, num_sequences=4)
                return measure_restarts(work, self.settings, num_rounds=self.num_rounds, say=self.say)
            case "cost":
                work = self._work(self.files.of_4b_shape(), context_length=4096, num_sequences=2)
                return measure_cost(work, self.files.of_4b_vocabulary(), say=self.say)
            case "memory":
                work = self._work(self.files.of_4b_shape(), context_length=4096, num_sequences=2)
                return measure_memory(work, say=self.say)
        return [row for part in PARTS[suite] for row in self._compare(part, workloads)]

    def _work(self, model: Path, *, context_length: int, num_sequences: int) -> Work:
        return Work(
            model=model, num_threads=self.num_threads, context_length=context_length, num_sequences=num_sequences
        )

    def _compare(self, part: Part, wanted: Sequence[str]) -> list[Row]:
        workloads = [name for name in part.workloads if not wanted or name in wanted]
        if not workloads:
            return []
        model = self.files.of_4b_shape() if part.model is None else self.files.of_catalog(part.model)
        work = self._work(model, context_length=part.context_length, num_sequences=part.num_sequences)
        rivals = [rival for rival in part.rivals if set(rival.workloads) & set(workloads)]
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            ours = Contender(OURS, edge_agent(folder, work, {**part.settings, **self.settings}), part.workloads)
            contenders = [*(self._rival(rival, work) for rival in rivals), ours]
            taken = take_rounds(contenders, workloads, num_rounds=self.num_rounds, say=self.say)
        rows = compare_with(OURS, [rival.name for rival in rivals], taken, dict(part.titles))
        better = better_of(rows, (LLAMA_SERVER, NGRAM), against=BETTER)
        return [*rows, *(row for row in better if row.figure is Figure.TOKENS_PER_SECOND)]

    def _rival(self, rival: Rival, work: Work) -> Contender:
        if rival.name == PYTHON_SERVER:
            server = python_server(python_server_environment(self.cache, self.environ), work)
        else:
            server = llama_server(build_llama_server(self.cache), work, *rival.arguments)
        return Contender(rival.name, server, rival.workloads)


def minutes(suites: Sequence[str], *, num_rounds: int) -> float:
    """How long these suites take, about, once everything is built and fetched."""
    return sum(MINUTES[suite][0] + MINUTES[suite][1] * num_rounds for suite in suites)
