"""Which layers have a sliding window: stated one by one, by a group's size, or by the architecture's habit."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from edge_agent.errors import ModelFileError
from edge_agent.models.gguf_header import GgufHeader, read_header
from tests.models.gguf_builder import Value, array, build_gguf, string, u32

WINDOW: dict[str, Value | None] = {"llama.attention.sliding_window": u32(128)}


def header_of(folder: Path, changes: dict[str, Value | None]) -> GgufHeader:
    path = folder / "model.gguf"
    path.write_bytes(build_gguf(changes))
    return read_header(path)


def as_gemma3(num_layers: int, **more: Value) -> dict[str, Value | None]:
    """The builder's model under another architecture's name."""
    numbers = {
        "context_length": 512,
        "embedding_length": 64,
        "attention.head_count": 4,
        "attention.sliding_window": 128,
    }
    changes: dict[str, Value | None] = {f"gemma3.{name}": u32(number) for name, number in numbers.items()}
    changes |= {"general.architecture": string("gemma3"), "gemma3.block_count": u32(num_layers)}
    return {**changes, **{f"gemma3.attention.{name}": value for name, value in more.items()}}


def test_an_architecture_with_a_habit_needs_no_pattern(tmp_path: Path) -> None:
    assert header_of(tmp_path, as_gemma3(13)).full_attention_layers == [5, 11]


def test_a_stated_group_replaces_the_habit(tmp_path: Path) -> None:
    assert header_of(tmp_path, as_gemma3(7, sliding_window_pattern=u32(3))).full_attention_layers == [2, 5]


def test_a_group_of_none_is_a_window_everywhere(tmp_path: Path) -> None:
    assert header_of(tmp_path, as_gemma3(3, sliding_window_pattern=u32(0))).full_attention_layers == []


def test_layers_may_be_stated_one_by_one(tmp_path: Path) -> None:
    pattern = array(7, 3, struct.pack("<3?", True, False, True))
    assert header_of(tmp_path, as_gemma3(3, sliding_window_pattern=pattern)).full_attention_layers == [1]


def test_without_a_window_every_layer_looks_back_on_everything(tmp_path: Path) -> None:
    changes = as_gemma3(7, sliding_window=u32(0))
    assert header_of(tmp_path, changes).full_attention_layers is None


def test_an_architecture_without_a_known_habit_is_counted_in_full(tmp_path: Path) -> None:
    header = header_of(tmp_path, WINDOW)
    assert (header.sliding_window, header.full_attention_layers) == (128, None)
    assert header.shape.num_window_kv_elements_per_cell == 0


def test_a_pattern_that_is_no_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"gemma3\.attention\.sliding_window_pattern is not an integer"):
        header_of(tmp_path, as_gemma3(3, sliding_window_pattern=string("every third")))
