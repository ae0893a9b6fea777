"""Whether a model can be loaded here, and with which settings: its file's header against the memory that is left.

`read_load_facts` looks, once, before the engine is there; `decide_load` is pure. Any thread but the event loop's.
"""

from __future__ import annotations

import logging
from pathlib import Path

from msgspec import Struct

from edge_agent.config import Config
from edge_agent.engine_settings import engine_settings, free_choices, memory_settings, with_memory_settings
from edge_agent.errors import ModelFileError, ModelTooLargeError
from edge_agent.models.byte_size import spell_bytes
from edge_agent.models.gguf_header import GgufHeader, read_header
from edge_agent.models.llama_cpp_build import has_gpu_backend, has_gpu_memory_of_its_own, llama_cpp_folder
from edge_agent.models.machine_memory import MachineMemory, read_machine_memory
from edge_agent.models.memory_estimate import MemoryEstimate, ModelWeights
from edge_agent.models.memory_plan import SPARE_BYTES, MemoryChoice, MemoryPlan, ModelNeeds, plan_memory
from edge_agent.models.repacking import repacked_bytes, repacked_types
from edge_agent.models.store import ModelFile
from edge_agent.protocol import EngineSettings
from edge_agent.tuned_settings import TunedSettings

logger = logging.getLogger(__name__)


class LoadFacts(Struct, frozen=True, kw_only=True):
    """What was found before the engine started.

    `needs` None: the file is not one to be loaded, and `file_error` says why. `available_bytes` None: not known.
    """

    model_file: ModelFile
    state_dir: Path
    needs: ModelNeeds | None
    available_bytes: int | None
    file_error: ModelFileError | None = None


class EngineLoad(Struct, frozen=True, kw_only=True):
    """What the engine is told, and what it will need then; `preferred` is what it would be told if memory were plenty.

    `estimate` and `available_bytes` are None where they are not known.
    """

    settings: EngineSettings
    preferred: EngineSettings
    estimate: MemoryEstimate | None
    available_bytes: int | None
    reduced: tuple[MemoryChoice, ...] = ()
    error: ModelFileError | None = None

    @property
    def is_too_large(self) -> bool:
        if self.estimate is None or self.available_bytes is None:
            return False
        return self.estimate.engine_total_bytes > self.available_bytes

    def check(self) -> None:
        """Raise ModelFileError, or ModelTooLargeError, if the model must not be loaded."""
        if self.error is not None:
            raise self.error


def read_load_facts(config: Config, model_file: ModelFile, *, state_dir: Path, root: Path = Path("/")) -> LoadFacts:
    """Read the model's header, and this machine's memory and CPU below the file-system root `root`."""
    try:
        header = read_header(model_file.path)
    except ModelFileError as error:
        return LoadFacts(model_file=model_file, state_dir=state_dir, needs=None, available_bytes=None, file_error=error)
    memory = memory_of_models(config, root)
    return LoadFacts(
        model_file=model_file,
        state_dir=state_dir,
        needs=model_needs(header, repacked_types(root)),
        available_bytes=None if memory is None else engine_share(memory),
    )


def memory_of_models(config: Config, root: Path) -> MachineMemory | None:
    """The memory that a model is loaded into; None where that is a GPU's own, or is not known."""
    if config.model.gpu_layers != 0 and has_gpu_backend(llama_cpp_folder()) and has_gpu_memory_of_its_own(root):
        return None
    return read_machine_memory(root)


def model_needs(header: GgufHeader, types: frozenset[str]) -> ModelNeeds:
    """What memory depends on, of a file's header, where weights of these tensor types are rearranged."""
    copied_bytes = repacked_bytes(header.matrix_bytes, types)
    return ModelNeeds(
        shape=header.shape, weights=ModelWeights(file_bytes=header.size_bytes, repacked_bytes=copied_bytes)
    )


def engine_share(memory: MachineMemory) -> int:
    """What an engine may take of the memory that is available now, the agent running."""
    return max(0, memory.available_bytes - SPARE_BYTES)


def decide_load(config: Config, facts: LoadFacts, *, tuned: TunedSettings | None = None) -> EngineLoad:
    """The settings to load with, reduced to what fits; or why the model is not to be loaded."""
    preferred = engine_settings(config, facts.model_file, state_dir=facts.state_dir, tuned=tuned)
    if facts.needs is None:
        return EngineLoad(
            settings=preferred, preferred=preferred, estimate=None, available_bytes=None, error=facts.file_error
        )
    if facts.available_bytes is None:
        estimate = facts.needs.estimate(memory_settings(preferred))
        return EngineLoad(settings=preferred, preferred=preferred, estimate=estimate, available_bytes=None)
    plan = plan_memory(
        facts.needs,
        memory_settings(preferred),
        free=free_choices(config),
        available_bytes=facts.available_bytes,
    )
    return EngineLoad(
        settings=with_memory_settings(preferred, plan.settings),
        preferred=preferred,
        estimate=plan.estimate,
        available_bytes=facts.available_bytes,
        reduced=plan.reduced,
        error=None if plan.fits or config.model.memory_fit == "ignore" else _too_large(plan, facts),
    )


def fits_beside(needs: ModelNeeds, settings: EngineSettings, memory: MachineMemory) -> bool:
    """Whether a second engine with the same file has room while the first one serves: they share mapped weights."""
    estimate = needs.estimate(memory_settings(settings))
    needed_bytes = estimate.engine_private_bytes if settings.mmap else estimate.engine_total_bytes
    return needed_bytes <= engine_share(memory)


def log_load(load: EngineLoad) -> None:
    """One line of what is needed, and one more where that is less than what was wished for."""
    if load.estimate is None:
        return
    estimate = load.estimate
    logger.info(
        "memory is estimated needed=%s available=%s weights=%s repacked=%s kv_cache=%s compute=%s saved_prefixes=%s",
        spell_bytes(estimate.engine_total_bytes),
        "unknown" if load.available_bytes is None else spell_bytes(load.available_bytes),
        spell_bytes(estimate.weight_bytes),
        spell_bytes(estimate.repacked_bytes),
        spell_bytes(estimate.kv_cache_bytes),
        spell_bytes(estimate.compute_bytes),
        spell_bytes(estimate.saved_prefix_bytes),
    )
    if load.reduced and load.error is None:
        logger.warning("settings are reduced to fit the memory that is available: %s", spell_reductions(load))
    if load.is_too_large and load.error is None:
        logger.warning("more memory is needed than is available, and model.memory_fit says to ignore it")


def spell_reductions(load: EngineLoad) -> str:
    """Each reduced setting with both of its values: `context_length=2048 (4096 was wanted)`."""
    return " ".join(
        f"{choice.value}={_spell(getattr(load.settings, choice.value))} "
        f"({_spell(getattr(load.preferred, choice.value))} was wanted)"
        for choice in load.reduced
    )


def _spell(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _too_large(plan: MemoryPlan, facts: LoadFacts) -> ModelTooLargeError:
    estimate = plan.estimate
    other_bytes = estimate.engine_total_bytes - estimate.weight_bytes - estimate.kv_cache_bytes
    return ModelTooLargeError(
        f"{facts.model_file.alias} needs {spell_bytes(estimate.engine_total_bytes)} of memory "
        f"({spell_bytes(estimate.weight_bytes)} weights, {spell_bytes(estimate.kv_cache_bytes)} KV cache for "
        f"{plan.settings.context_length} tokens in {plan.settings.kv_cache_type}, {spell_bytes(other_bytes)} other), "
        f"and {spell_bytes(facts.available_bytes or 0)} are available: end other programs, raise the limit of this "
        f"service, take a smaller model or a shorter model.context_length, or set model.memory_fit to ignore; then "
        f"restart edge-agent"
    )
