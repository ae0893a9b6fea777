"""Whether a known model would fit this machine, and with how long a context: the words of `models list`.

The same plan is made as at a start, for the file that is here or, before that, for what the catalog says of it.
"""

from __future__ import annotations

import logging
from pathlib import Path

from msgspec import Struct

from edge_agent.config import Config
from edge_agent.engine_load import engine_share, memory_of_models, model_needs
from edge_agent.engine_settings import engine_settings, free_choices, memory_settings
from edge_agent.errors import EdgeAgentError
from edge_agent.models.gguf_header import read_header
from edge_agent.models.machine_memory import MachineMemory
from edge_agent.models.memory_estimate import AGENT_BYTES, MemorySettings, ModelWeights
from edge_agent.models.memory_plan import SPARE_BYTES, MemoryChoice, MemoryPlan, ModelNeeds, plan_memory
from edge_agent.models.repacking import repacked_types
from edge_agent.models.store import ModelFile, StoredModel

log = logging.getLogger(__name__)

UNKNOWN = "?"


class Board(Struct, frozen=True, kw_only=True):
    """What models are held against: the configuration, this machine's memory (None: not known) and its CPU."""

    config: Config
    state_dir: Path
    memory: MachineMemory | None
    repacked_types: frozenset[str]


class Fit(Struct, frozen=True, kw_only=True):
    """`needed_bytes` is all that both processes need; None where the model's shape is not known."""

    needed_bytes: int | None
    verdict: str


def read_board(config: Config, *, state_dir: Path, root: Path) -> Board:
    """This machine, below the file-system root `root`."""
    return Board(
        config=config,
        state_dir=state_dir,
        memory=memory_of_models(config, root),
        repacked_types=repacked_types(root),
    )


def judge_fit(stored: StoredModel, board: Board) -> Fit:
    """Memory that the model would be served in, and whether it is there."""
    needs = _needs(stored, board.repacked_types)
    if needs is None:
        return Fit(needed_bytes=None, verdict=UNKNOWN)
    preferred = _preferred(stored, board)
    if board.memory is None:
        return Fit(needed_bytes=needs.estimate(preferred).total_bytes, verdict=UNKNOWN)
    free = free_choices(board.config)
    now = plan_memory(needs, preferred, free=free, available_bytes=max(0, engine_share(board.memory) - AGENT_BYTES))
    if now.fits:
        return Fit(needed_bytes=now.estimate.total_bytes, verdict=_with_context(now) or "yes")
    usable_bytes = max(0, board.memory.usable_bytes - SPARE_BYTES - AGENT_BYTES)
    alone = plan_memory(needs, preferred, free=free, available_bytes=usable_bytes)
    verdict = f"{_with_context(alone)} if other programs end".lstrip() if alone.fits else "no"
    return Fit(needed_bytes=alone.estimate.total_bytes, verdict=verdict)


def _with_context(plan: MemoryPlan) -> str:
    is_shorter = MemoryChoice.CONTEXT_LENGTH in plan.reduced
    return f"with {plan.settings.context_length} tokens" if is_shorter else ""


def _preferred(stored: StoredModel, board: Board) -> MemorySettings:
    file = ModelFile(alias=stored.entry.name, path=stored.path, size_bytes=stored.size_bytes or 0, sha256=None)
    return memory_settings(engine_settings(board.config, file, state_dir=board.state_dir))


def _needs(stored: StoredModel, types: frozenset[str]) -> ModelNeeds | None:
    """From the file if it is here, else from the catalog, which does not say what of the weights is rearranged."""
    if stored.size_bytes is not None:
        return _needs_of_file(stored.path, types)
    shape, size_bytes = stored.entry.shape, stored.entry.size_bytes
    if shape is None or size_bytes is None:
        return None
    return ModelNeeds(shape=shape, weights=ModelWeights(file_bytes=size_bytes, repacked_bytes=size_bytes))


def _needs_of_file(path: Path, types: frozenset[str]) -> ModelNeeds | None:
    try:
        return model_needs(read_header(path), types)
    except EdgeAgentError as error:
        log.warning("model file is not usable: %s", error)
        return None
