"""The settings that are worth trying instead of the default, and how they are put into the engine's terms. Pure.

What the user set is never varied.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from edge_agent.config import ModelSection
from edge_agent.protocol import EngineSettings
from edge_agent.tuned_settings import TunedSettings

# Fields of TunedSettings with other values.
Change = dict[str, str | int | bool]

# llama.cpp has no q8_0 cache without flash attention.
KV_AND_ATTENTION = (("f16", True), ("q8_0", True), ("f16", False))
# 128 rows: a quarter of the compute buffers, and its data stays in the caches of a small CPU.
SMALL_MICRO_BATCH_TOKENS = 128
# Where four cores share the memory, three may be as fast, and one is left for everything else.
MIN_CORES_TO_SPARE_ONE = 4
# As people read them.
NAMES = {
    "kv_cache_type": "KV",
    "flash_attention": "flash attention",
    "micro_batch_tokens": "micro batch",
    "repack": "repack",
    "num_threads": "threads",
    "num_threads_batch": "prefill threads",
}


def changes(model: ModelSection, default: TunedSettings, *, max_batch_tokens: int) -> list[Change]:
    """Each to be tried upon the best so far, in this order: what may change most comes first."""
    return [
        *_repack(model, default),
        *_kv_and_attention(model, default),
        *_threads(model, default),
        *_micro_batch(model, default, max_batch_tokens=max_batch_tokens),
    ]


def tuned_part(settings: EngineSettings) -> TunedSettings:
    """Of the engine's settings those that are tuned."""
    names = TunedSettings.__struct_fields__
    return TunedSettings(**{name: getattr(settings, name) for name in names})


def with_tuned(settings: EngineSettings, tuned: TunedSettings) -> EngineSettings:
    """The engine's settings with others for those that are tuned."""
    return msgspec.structs.replace(settings, **msgspec.structs.asdict(tuned))


def describe_change(base: TunedSettings, other: TunedSettings) -> str:
    """What is different in `other`, for people."""
    before, after = msgspec.structs.asdict(base), msgspec.structs.asdict(other)
    return ", ".join(f"{NAMES[name]} {_spell(after[name])}" for name in after if after[name] != before[name])


def _spell(value: object) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def _repack(model: ModelSection, default: TunedSettings) -> Iterator[Change]:
    if model.repack is None:
        yield {"repack": not default.repack}


def _kv_and_attention(model: ModelSection, default: TunedSettings) -> Iterator[Change]:
    for kv_cache_type, flash_attention in KV_AND_ATTENTION:
        is_free = model.kv_cache_type in {"auto", kv_cache_type} and model.flash_attention in {None, flash_attention}
        if is_free and (kv_cache_type, flash_attention) != (default.kv_cache_type, default.flash_attention):
            yield {"kv_cache_type": kv_cache_type, "flash_attention": flash_attention}


def _threads(model: ModelSection, default: TunedSettings) -> Iterator[Change]:
    """One fewer, for decode and for prefill; prefill follows the user's number of threads where there is one."""
    if model.threads == 0 and default.num_threads >= MIN_CORES_TO_SPARE_ONE:
        yield {"num_threads": default.num_threads - 1}
        if model.threads_batch == 0:
            yield {"num_threads_batch": default.num_threads_batch - 1}


def _micro_batch(model: ModelSection, default: TunedSettings, *, max_batch_tokens: int) -> Iterator[Change]:
    if model.micro_batch_tokens == 0:
        for num_tokens in (SMALL_MICRO_BATCH_TOKENS, max_batch_tokens):
            if num_tokens <= max_batch_tokens and num_tokens != default.micro_batch_tokens:
                yield {"micro_batch_tokens": num_tokens}
