"""The words of `models list` for models that fit, fit with less, fit a quieter machine, or do not."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from edge_agent.cli.model_fit import Board, Fit, judge_fit, read_board
from edge_agent.config import Config, ModelSection
from edge_agent.models.catalog import CatalogEntry
from edge_agent.models.machine_memory import MachineMemory
from edge_agent.models.store import StoredModel
from tests.models.gguf_builder import write_gguf
from tests.models.shapes import QWEN3_4B

MIB = 1024 * 1024


def known(path: Path = Path("/absent.gguf"), **fields: Any) -> StoredModel:
    entry = CatalogEntry(name="m", file="m.gguf", sources=["https://h.example/m.gguf"], **fields)
    size_bytes = path.stat().st_size if path.exists() else None
    return StoredModel(entry=entry, is_user_added=False, path=path, size_bytes=size_bytes, num_partial_bytes=0)


def board(*, available_mib: int, total_mib: int = 4000, limit_mib: int | None = None, **model: Any) -> Board:
    return Board(
        config=Config(model=ModelSection(**model)),
        state_dir=Path("/state"),
        memory=MachineMemory(
            total_bytes=total_mib * MIB,
            available_bytes=available_mib * MIB,
            cgroup_limit_bytes=None if limit_mib is None else limit_mib * MIB,
        ),
        repacked_types=frozenset(),
    )


def verdict(held_against: Board) -> str:
    return judge_fit(known(size_bytes=2_497_281_120, shape=QWEN3_4B), held_against).verdict


def test_a_model_fits_where_the_whole_context_does() -> None:
    assert verdict(board(available_mib=3600)) == "yes"


def test_a_shorter_context_is_named() -> None:
    assert verdict(board(available_mib=2900)) == "with 2816 tokens"


def test_what_would_fit_an_empty_machine_needs_other_programs_to_end() -> None:
    assert verdict(board(available_mib=1000)) == "if other programs end"
    assert verdict(board(available_mib=1000, total_mib=2900)) == "with 2816 tokens if other programs end"


def test_what_no_empty_machine_holds_does_not_fit() -> None:
    assert verdict(board(available_mib=1000, total_mib=2000)) == "no"
    assert verdict(board(available_mib=1000, limit_mib=2000)) == "no"


def test_a_context_that_must_stay_is_not_shortened() -> None:
    assert verdict(board(available_mib=2900, total_mib=2900, memory_fit="refuse")) == "no"


def test_the_need_is_that_of_the_settings_that_would_be_used() -> None:
    stored = known(size_bytes=2_497_281_120, shape=QWEN3_4B)
    fit = judge_fit(stored, board(available_mib=2900))
    assert fit.needed_bytes is not None
    assert 2_497_281_120 < fit.needed_bytes < (2900 - 64) * MIB


def test_a_shape_that_is_not_known_gives_no_answer() -> None:
    unknown = Fit(needed_bytes=None, verdict="?")
    assert judge_fit(known(), board(available_mib=4000)) == unknown
    assert judge_fit(known(size_bytes=1000), board(available_mib=4000)) == unknown


def test_memory_that_is_not_known_gives_the_need_alone(tmp_path: Path) -> None:
    nowhere = read_board(Config(), state_dir=Path("/state"), root=tmp_path)
    fit = judge_fit(known(size_bytes=2_497_281_120, shape=QWEN3_4B), nowhere)
    assert (fit.needed_bytes is None, fit.verdict) == (False, "?")


def test_a_file_that_is_here_is_read_instead_of_the_catalog(tmp_path: Path) -> None:
    stored = known(write_gguf(tmp_path / "m.gguf"), size_bytes=2_497_281_120, shape=QWEN3_4B)
    fit = judge_fit(stored, board(available_mib=4000))
    assert fit.verdict == "yes"
    assert fit.needed_bytes is not None
    assert fit.needed_bytes < 300 * MIB


def test_a_file_that_is_not_usable_gives_no_answer_and_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "m.gguf"
    path.write_text("<!doctype html>")
    with caplog.at_level(logging.WARNING):
        assert judge_fit(known(path), board(available_mib=4000)).verdict == "?"
    assert "model file is not usable" in caplog.text
