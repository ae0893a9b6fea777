"""Settings that fit: what costs memory is given up in a fixed order until a model fits, where the user left a choice.

Pure. First goes what costs only speed, then what costs a little precision or reuse, at last the length of the context.
"""

from __future__ import annotations

import enum

import msgspec
from msgspec import Struct

from edge_agent.models.memory_estimate import (
    CELL_GROUP,
    MIB,
    MemoryEstimate,
    MemorySettings,
    ModelWeights,
    estimate_memory,
)
from edge_agent.models.shape import ModelShape

# 64 MiB are left to the page cache and to other programs.
SPARE_BYTES = 64 * MIB
# Less than this is not worth serving: a system prompt, a question and an answer.
MIN_CONTEXT_LENGTH = 1024


class MemoryChoice(enum.Enum):
    """What may be given up, by the name of its setting, in this order."""

    REPACK = "repack"
    MICRO_BATCH = "micro_batch_tokens"
    FLASH_ATTENTION = "flash_attention"
    KV_CACHE_TYPE = "kv_cache_type"
    CONTEXT_LENGTH = "context_length"


# Micro-batches below 128 rows cost much speed and save little.
FRUGAL_VALUES: dict[MemoryChoice, tuple[int | str | bool, ...]] = {
    MemoryChoice.REPACK: (False,),
    MemoryChoice.MICRO_BATCH: (256, 128),
    MemoryChoice.FLASH_ATTENTION: (True,),
    MemoryChoice.KV_CACHE_TYPE: ("q8_0",),
}


class ModelNeeds(Struct, frozen=True, kw_only=True):
    """What is known of a model that is to be loaded: its widths and the bytes of its weights."""

    shape: ModelShape
    weights: ModelWeights

    def estimate(self, settings: MemorySettings) -> MemoryEstimate:
        return estimate_memory(self.shape, settings, self.weights)

    def engine_bytes(self, settings: MemorySettings) -> int:
        return self.estimate(settings).engine_total_bytes


class MemoryPlan(Struct, frozen=True, kw_only=True):
    """The settings to load with, and whether the engine then fits; `reduced` differ from those that were preferred."""

    settings: MemorySettings
    estimate: MemoryEstimate
    fits: bool
    reduced: tuple[MemoryChoice, ...]


def plan_memory(
    model: ModelNeeds, preferred: MemorySettings, *, free: frozenset[MemoryChoice], available_bytes: int
) -> MemoryPlan:
    """The preferred settings, or what is left of them in `available_bytes`; only the choices in `free` are touched."""
    settings = preferred
    for choice, values in FRUGAL_VALUES.items():
        for value in values:
            if choice in free and model.engine_bytes(settings) > available_bytes:
                settings = _cheaper(model, settings, choice, value)
    if MemoryChoice.CONTEXT_LENGTH in free and model.engine_bytes(settings) > available_bytes:
        settings = _with_longest_context(model, settings, available_bytes)
    return MemoryPlan(
        settings=settings,
        estimate=model.estimate(settings),
        fits=model.engine_bytes(settings) <= available_bytes,
        reduced=tuple(choice for choice in MemoryChoice if _value(settings, choice) != _value(preferred, choice)),
    )


def _cheaper(
    model: ModelNeeds, settings: MemorySettings, choice: MemoryChoice, value: int | str | bool
) -> MemorySettings:
    """The settings with this value, where it is possible and saves memory."""
    if choice is MemoryChoice.KV_CACHE_TYPE and not (settings.flash_attention and model.shape.has_blocks_of_32):
        return settings
    changed = msgspec.structs.replace(settings, **{choice.value: value})
    return changed if model.engine_bytes(changed) < model.engine_bytes(settings) else settings


def _with_longest_context(model: ModelNeeds, settings: MemorySettings, available_bytes: int) -> MemorySettings:
    """The longest context that fits; the shortest that is worth it where none does."""
    shortest = min(MIN_CONTEXT_LENGTH, settings.context_length)
    for context_length in range(settings.context_length // CELL_GROUP * CELL_GROUP, shortest, -CELL_GROUP):
        changed = msgspec.structs.replace(settings, context_length=context_length)
        if model.engine_bytes(changed) <= available_bytes:
            return changed
    return msgspec.structs.replace(settings, context_length=shortest)


def _value(settings: MemorySettings, choice: MemoryChoice) -> object:
    return getattr(settings, choice.value)
