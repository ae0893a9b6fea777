from __future__ import annotations

import pytest

from edge_agent.config import ModelSection
from edge_agent.tuning.candidates import Change, changes, describe_change, tuned_part, with_tuned
from tests.engine_client.scripted_engine import make_settings
from tests.tuning.choices import DEFAULT, changed


def all_changes(section: ModelSection, *, num_threads: int = 4, max_batch_tokens: int = 512) -> list[Change]:
    default = changed(num_threads=num_threads, num_threads_batch=num_threads)
    return changes(section, default, max_batch_tokens=max_batch_tokens)


def test_where_the_user_set_nothing_each_setting_is_varied_alone() -> None:
    assert all_changes(ModelSection()) == [
        {"repack": False},
        {"kv_cache_type": "q8_0", "flash_attention": True},
        {"kv_cache_type": "f16", "flash_attention": False},
        {"num_threads": 3},
        {"num_threads_batch": 3},
        {"micro_batch_tokens": 128},
    ]


def test_no_core_is_spared_where_there_are_few() -> None:
    few = all_changes(ModelSection(), num_threads=3)
    assert not any("num_threads" in change or "num_threads_batch" in change for change in few)


@pytest.mark.parametrize(
    ("section", "absent"),
    [
        (ModelSection(repack=True), "repack"),
        (ModelSection(threads=4), "num_threads"),
        (ModelSection(threads=4), "num_threads_batch"),
        (ModelSection(threads_batch=2), "num_threads_batch"),
        (ModelSection(micro_batch_tokens=512), "micro_batch_tokens"),
        (ModelSection(kv_cache_type="f16", flash_attention=True), "kv_cache_type"),
        (ModelSection(kv_cache_type="q8_0"), "kv_cache_type"),
    ],
)
def test_what_the_user_set_is_not_varied(section: ModelSection, absent: str) -> None:
    default = changed(kv_cache_type="q8_0") if section.kv_cache_type == "q8_0" else DEFAULT
    assert [change for change in changes(section, default, max_batch_tokens=512) if absent in change] == []


def test_with_the_cache_type_set_attention_alone_is_varied() -> None:
    section = ModelSection(kv_cache_type="f16", repack=True, threads=4, micro_batch_tokens=512)
    assert all_changes(section) == [{"kv_cache_type": "f16", "flash_attention": False}]


def test_a_micro_batch_is_no_larger_than_a_step() -> None:
    section = ModelSection(kv_cache_type="f16", flash_attention=True, repack=True, threads=4)
    assert all_changes(section, max_batch_tokens=64) == [{"micro_batch_tokens": 64}]


def test_a_micro_batch_that_memory_made_small_may_grow_again() -> None:
    section = ModelSection(kv_cache_type="f16", flash_attention=True, repack=True, threads=4)
    default = changed(micro_batch_tokens=128)
    assert changes(section, default, max_batch_tokens=512) == [{"micro_batch_tokens": 512}]


def test_a_choice_goes_into_the_engines_settings_and_comes_out_again() -> None:
    choice = changed(kv_cache_type="q8_0", micro_batch_tokens=128, repack=False, num_threads=3)
    settings = with_tuned(make_settings(context_length=777), choice)
    assert (settings.context_length, settings.kv_cache_type, settings.num_threads) == (777, "q8_0", 3)
    assert tuned_part(settings) == choice


def test_a_change_is_described_by_what_is_different() -> None:
    other = changed(kv_cache_type="q8_0", repack=False, num_threads_batch=3)
    assert describe_change(DEFAULT, other) == "KV q8_0, repack off, prefill threads 3"
