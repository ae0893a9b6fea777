"""What the engine is told of the configuration, in the engine's terms.

A setting that the user left open is the one that was measured to be best here, else the usual one. Whether there is
memory for it, `engine_load` knows.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from edge_agent.config import Config, ModelSection
from edge_agent.models.memory_estimate import MemorySettings
from edge_agent.models.memory_plan import MemoryChoice
from edge_agent.models.store import ModelFile
from edge_agent.protocol import EngineSettings
from edge_agent.tuned_settings import TunedSettings

CPU_FOLDER = Path("/sys/devices/system/cpu")
PREFIX_FOLDER = "prefixes"


def engine_settings(
    config: Config, model_file: ModelFile, *, state_dir: Path, tuned: TunedSettings | None = None
) -> EngineSettings:
    """The configuration in the engine's terms, with what it leaves open resolved as if memory were plenty."""
    model, scheduler = config.model, config.scheduler
    best = tuned or _usual_settings(config)
    num_threads = model.threads or best.num_threads
    flash_attention = _flash_attention(model, best)
    return EngineSettings(
        model_path=str(model_file.path),
        context_length=model.context_length,
        max_sequences=scheduler.max_sequences,
        max_batch_tokens=scheduler.max_batch_tokens,
        max_step_seconds=scheduler.max_step_seconds,
        target_inter_token_seconds=scheduler.target_inter_token_ms / 1000,
        max_saved_prefix_bytes=scheduler.max_saved_prefix_bytes,
        max_draft_tokens=scheduler.max_draft_tokens,
        kv_cache_type=_kv_cache_type(model, best, flash_attention=flash_attention),
        flash_attention=flash_attention,
        micro_batch_tokens=min(model.micro_batch_tokens or best.micro_batch_tokens, scheduler.max_batch_tokens),
        repack=best.repack if model.repack is None else model.repack,
        num_threads=num_threads,
        num_threads_batch=model.threads_batch or model.threads or best.num_threads_batch,
        num_gpu_layers=model.gpu_layers,
        mmap=model.mmap,
        mlock=model.mlock,
        model_digest=model_file.sha256 or "",
        prefix_folder=str(state_dir / PREFIX_FOLDER),
        max_disk_prefix_bytes=scheduler.max_disk_prefix_bytes,
    )


def free_choices(config: Config) -> frozenset[MemoryChoice]:
    """What may be given up for want of memory: whatever the user left open, and the context's length."""
    model = config.model
    if model.memory_fit == "ignore":
        return frozenset()
    is_free = {
        MemoryChoice.REPACK: model.repack is None,
        MemoryChoice.MICRO_BATCH: model.micro_batch_tokens == 0,
        MemoryChoice.FLASH_ATTENTION: model.flash_attention is None,
        MemoryChoice.KV_CACHE_TYPE: model.kv_cache_type == "auto",
        MemoryChoice.CONTEXT_LENGTH: model.memory_fit == "reduce",
    }
    return frozenset(choice for choice, free in is_free.items() if free)


def memory_settings(settings: EngineSettings) -> MemorySettings:
    """Those of the engine's settings that memory depends on."""
    num_sequence_ids = _num_sequence_ids(settings)
    num_drafted_rows = settings.max_sequences + settings.max_draft_tokens
    return MemorySettings(
        context_length=settings.context_length,
        num_sequence_ids=num_sequence_ids,
        num_output_rows=max(num_sequence_ids, min(settings.max_batch_tokens, num_drafted_rows)),
        kv_cache_type=settings.kv_cache_type,
        flash_attention=settings.flash_attention,
        micro_batch_tokens=settings.micro_batch_tokens,
        repack=settings.repack,
        saved_prefix_bytes=settings.max_saved_prefix_bytes,
    )


def with_memory_settings(settings: EngineSettings, memory: MemorySettings) -> EngineSettings:
    """The engine's settings with what a memory plan made of them."""
    return msgspec.structs.replace(settings, **{choice.value: getattr(memory, choice.value) for choice in MemoryChoice})


def num_physical_cores(cpu_folder: Path, *, usable: set[int]) -> int:
    """Cores among the usable CPUs; siblings of a core count once, since decoding is bound by what they share.

    `cpu_folder` is /sys/devices/system/cpu; a CPU whose topology cannot be read counts as a core of its own.
    """
    return max(1, len({_core(cpu_folder, cpu) for cpu in usable}))


def _usual_settings(config: Config) -> TunedSettings:
    """What serves well on most machines, until somebody has measured."""
    num_threads = num_physical_cores(CPU_FOLDER, usable=os.sched_getaffinity(0))
    return TunedSettings(
        kv_cache_type="f16",
        flash_attention=True,
        micro_batch_tokens=config.scheduler.max_batch_tokens,
        repack=True,
        num_threads=num_threads,
        num_threads_batch=num_threads,
    )


def _flash_attention(model: ModelSection, best: TunedSettings) -> bool:
    """q8_0 needs it: a user who asks for q8_0 and leaves this open gets it."""
    if model.flash_attention is not None:
        return model.flash_attention
    return best.flash_attention or model.kv_cache_type == "q8_0"


def _kv_cache_type(model: ModelSection, best: TunedSettings, *, flash_attention: bool) -> str:
    if model.kv_cache_type != "auto":
        return model.kv_cache_type
    return best.kv_cache_type if flash_attention else "f16"


def _num_sequence_ids(settings: EngineSettings) -> int:
    """As many again as run at once are held for their next turn, and one serves to save and to load."""
    return 2 * settings.max_sequences + 1


def _core(cpu_folder: Path, cpu: int) -> str:
    try:
        return (cpu_folder / f"cpu{cpu}" / "topology" / "thread_siblings_list").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return str(cpu)
