"""What is given up for memory, in which order, and that nothing more is than has to be."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from edge_agent.models.memory_estimate import MemorySettings, ModelWeights
from edge_agent.models.memory_plan import MemoryChoice, MemoryPlan, ModelNeeds, plan_memory
from edge_agent.models.shape import ModelShape

MIB = 1024 * 1024
# Ten layers, half of them with a window.
MODEL = ModelNeeds(
    shape=ModelShape(
        num_layers=10,
        embedding_length=1024,
        num_kv_heads=1,
        key_length=128,
        value_length=128,
        vocabulary_size=1000,
        trained_context_length=8192,
        num_heads=16,
        feed_forward_length=4096,
        sliding_window=256,
        full_attention_layers=[1, 3, 5, 7, 9],
    ),
    weights=ModelWeights(file_bytes=100 * MIB, repacked_bytes=80 * MIB),
)
PREFERRED = MemorySettings(
    context_length=16384,
    num_sequence_ids=4,
    num_output_rows=4,
    kv_cache_type="f16",
    flash_attention=True,
    micro_batch_tokens=512,
    repack=True,
    saved_prefix_bytes=0,
)
ALL = frozenset(MemoryChoice)


def plan(available_bytes: int, *, free: frozenset[MemoryChoice] = ALL, **changes: Any) -> MemoryPlan:
    settings = msgspec.structs.replace(PREFERRED, **changes)
    return plan_memory(MODEL, settings, free=free, available_bytes=available_bytes)


def need(**changes: Any) -> int:
    return MODEL.engine_bytes(msgspec.structs.replace(PREFERRED, **changes))


def test_where_all_fits_nothing_is_given_up() -> None:
    generous = plan(need())
    assert generous == MemoryPlan(settings=PREFERRED, estimate=MODEL.estimate(PREFERRED), fits=True, reduced=())


FRUGAL: list[dict[str, Any]] = [
    {"repack": False},
    {"micro_batch_tokens": 128},
    {"kv_cache_type": "q8_0"},
]


@pytest.mark.parametrize("num_given_up", [1, 2, 3])
def test_settings_are_given_up_in_their_order_and_only_as_far_as_needed(num_given_up: int) -> None:
    given_up: dict[str, Any] = {name: value for change in FRUGAL[:num_given_up] for name, value in change.items()}
    tight = plan(need(**given_up))
    assert tight.settings == msgspec.structs.replace(PREFERRED, **given_up)
    assert tight.fits
    assert [choice.value for choice in tight.reduced] == list(given_up)


def test_a_micro_batch_is_halved_before_it_is_quartered() -> None:
    assert plan(need(repack=False, micro_batch_tokens=256)).settings.micro_batch_tokens == 256


def test_attention_is_fused_where_that_saves_memory() -> None:
    tight = plan(need(), flash_attention=False)
    assert (tight.settings.flash_attention, tight.fits) == (True, True)


def test_at_last_the_context_is_made_as_long_as_fits() -> None:
    frugal = {"repack": False, "micro_batch_tokens": 128, "kv_cache_type": "q8_0"}
    tight = plan(need(**frugal, context_length=4096) + 100)
    assert tight.settings == msgspec.structs.replace(PREFERRED, **frugal, context_length=4096)
    assert tight.reduced[-1] is MemoryChoice.CONTEXT_LENGTH


def test_what_never_fits_is_planned_with_the_shortest_context_worth_it() -> None:
    hopeless = plan(50 * MIB)
    assert (hopeless.fits, hopeless.settings.context_length) == (False, 1024)


def test_a_context_that_is_shorter_already_is_not_made_longer() -> None:
    hopeless = plan(50 * MIB, context_length=512)
    assert (hopeless.fits, hopeless.settings.context_length) == (False, 512)


def test_what_the_user_chose_is_left_alone() -> None:
    kept = plan(50 * MIB, free=frozenset())
    assert (kept.settings, kept.fits, kept.reduced) == (PREFERRED, False, ())
    partly = plan(need(kv_cache_type="q8_0"), free=frozenset({MemoryChoice.KV_CACHE_TYPE}))
    assert partly.settings == msgspec.structs.replace(PREFERRED, kv_cache_type="q8_0")


def test_what_saves_nothing_is_kept() -> None:
    small = plan(50 * MIB, micro_batch_tokens=64, context_length=1024)
    assert small.settings.micro_batch_tokens == 64
    unpacked = msgspec.structs.replace(MODEL, weights=ModelWeights(file_bytes=100 * MIB, repacked_bytes=0))
    kept = plan_memory(unpacked, PREFERRED, free=ALL, available_bytes=50 * MIB)
    assert kept.settings.repack


@pytest.mark.parametrize(("flash_attention", "key_length"), [(False, 128), (True, 80)])
def test_q8_0_is_not_taken_without_fused_attention_or_whole_blocks(flash_attention: bool, key_length: int) -> None:
    model = msgspec.structs.replace(MODEL, shape=msgspec.structs.replace(MODEL.shape, key_length=key_length))
    settings = msgspec.structs.replace(PREFERRED, flash_attention=flash_attention)
    free = frozenset({MemoryChoice.KV_CACHE_TYPE})
    assert plan_memory(model, settings, free=free, available_bytes=0).settings.kv_cache_type == "f16"
