"""What the engine is told of the configuration, in the engine's terms."""

from __future__ import annotations

import os
from pathlib import Path

from edge_agent.config import Config
from edge_agent.models.store import ModelFile
from edge_agent.protocol import EngineSettings

CPU_FOLDER = Path("/sys/devices/system/cpu")


def engine_settings(config: Config, model_file: ModelFile) -> EngineSettings:
    """The configuration in the engine's terms, with its zeros resolved."""
    model, scheduler = config.model, config.scheduler
    num_threads = model.threads or num_physical_cores(CPU_FOLDER, usable=os.sched_getaffinity(0))
    return EngineSettings(
        model_path=str(model_file.path),
        context_length=model.context_length,
        max_sequences=scheduler.max_sequences,
        max_batch_tokens=scheduler.max_batch_tokens,
        max_step_seconds=scheduler.max_step_seconds,
        target_inter_token_seconds=scheduler.target_inter_token_ms / 1000,
        max_saved_prefix_bytes=scheduler.max_saved_prefix_bytes,
        max_draft_tokens=scheduler.max_draft_tokens,
        kv_cache_type="f16" if model.kv_cache_type == "auto" else model.kv_cache_type,
        flash_attention=model.flash_attention is not False,
        micro_batch_tokens=model.micro_batch_tokens or scheduler.max_batch_tokens,
        repack=model.repack is not False,
        swa_full=model.swa_full is not False,
        num_threads=num_threads,
        num_threads_batch=model.threads_batch or num_threads,
        num_gpu_layers=model.gpu_layers,
        mmap=model.mmap,
        mlock=model.mlock,
        model_digest="",
        prefix_folder="",
        max_disk_prefix_bytes=scheduler.max_disk_prefix_bytes,
    )


def num_physical_cores(cpu_folder: Path, *, usable: set[int]) -> int:
    """Cores among the usable CPUs; siblings of a core count once, since decoding is bound by what they share.

    `cpu_folder` is /sys/devices/system/cpu; a CPU whose topology cannot be read counts as a core of its own.
    """
    return max(1, len({_core(cpu_folder, cpu) for cpu in usable}))


def _core(cpu_folder: Path, cpu: int) -> str:
    try:
        return (cpu_folder / f"cpu{cpu}" / "topology" / "thread_siblings_list").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return str(cpu)
