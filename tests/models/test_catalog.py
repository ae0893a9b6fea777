"""The shipped catalog is complete and right; a user's own is read strictly and written whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.errors import ModelError, ModelNotFoundError
from edge_agent.models.catalog import (
    Catalog,
    CatalogEntry,
    parse_catalog,
    read_user_catalog,
    shipped_catalog,
    write_user_catalog,
)
from edge_agent.models.gguf_header import read_header
from edge_agent.models.sources import HuggingFaceSource, ModelScopeSource, PypiSource, parse_source

ENTRY = CatalogEntry(name="mine", file="mine.gguf", sources=["https://h.example/mine.gguf"])
ENTRY_YAML = "models:\n- {name: mine, file: mine.gguf, sources: ['https://h.example/mine.gguf']"


def test_shipped_catalog_knows_every_model_with_size_digest_and_shape() -> None:
    entries = shipped_catalog().entries
    assert list(entries) == [
        "smollm2-135m-instruct",
        "gemma-3-270m",
        "qwen3-0.6b",
        "qwen3-1.7b",
        "qwen3-4b-instruct-2507",
        "llama-3.2-3b-instruct",
        "gemma-3-4b-it",
    ]
    for entry in entries.values():
        assert None not in {entry.size_bytes, entry.sha256}
        assert entry.shape is not None
        assert entry.licence != "unknown"
        assert entry.description.endswith(".")
    assert len({entry.file for entry in entries.values()}) == 7


def test_shipped_sources_are_tried_in_the_intended_order() -> None:
    entries = shipped_catalog().entries
    kinds = {name: [type(parse_source(source)) for source in entry.sources] for name, entry in entries.items()}
    assert kinds.pop("smollm2-135m-instruct") == [PypiSource]
    assert kinds.pop("gemma-3-270m") == [PypiSource]
    assert all(kind == [HuggingFaceSource, ModelScopeSource] for kind in kinds.values())
    parts = parse_source(entries["gemma-3-270m"].sources[0])
    assert isinstance(parts, PypiSource)
    assert [part.member[-7:] for part in parts.parts] == [".part00", ".part01", ".part02", ".part03"]


def test_the_reference_model_keeps_147456_bytes_a_token_in_f16() -> None:
    shape = shipped_catalog().find("qwen3-4b-instruct-2507").shape
    assert shape is not None
    assert shape.num_kv_elements_per_cell * 2 == 147456


def test_the_shapes_are_those_in_the_headers_of_the_files(smollm2_path: Path, gemma3_path: Path) -> None:
    assert shipped_catalog().find("smollm2-135m-instruct").shape == read_header(smollm2_path).shape
    assert shipped_catalog().find("gemma-3-270m").shape == read_header(gemma3_path).shape


def test_an_unknown_name_is_answered_with_where_to_look() -> None:
    with pytest.raises(ModelNotFoundError, match="edge-agent models list"):
        shipped_catalog().find("gpt-5")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("models: [1", "not a valid catalog"),
        ("models: 3", "Expected `array`"),
        ("[" * 5000, "not a valid catalog"),
        ("models: []\nmore: 1", "unknown field `more`"),
        (f"{ENTRY_YAML}, sha: x}}", "unknown field `sha`"),
        (f"{ENTRY_YAML}, sha256: ABC}}", "64 lower-case hex digits"),
        (f"{ENTRY_YAML}, size_bytes: 0}}", "at least one byte"),
        (f"{ENTRY_YAML}, size_bytes: many}}", "Expected `int"),
        (ENTRY_YAML.replace("name: mine", "name: ../x") + "}", "cannot be a model's name"),
        (ENTRY_YAML.replace("name: mine", "name: Mine") + "}", "cannot be a model's name"),
        (ENTRY_YAML.replace("file: mine.gguf", "file: ../mine.gguf") + "}", "plain NAME.gguf"),
        (ENTRY_YAML.replace("file: mine.gguf", "file: mine.bin") + "}", "plain NAME.gguf"),
        ("models: [{name: mine, file: mine.gguf, sources: []}]", "has no sources"),
        ("models: [{name: mine, file: mine.gguf, sources: [ftp://x]}]", "neither a file here nor a source"),
        (f"{ENTRY_YAML}}}\n{ENTRY_YAML[8:]}}}", "two entries named mine"),
    ],
)
def test_a_wrong_catalog_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(ModelError) as refused:
        parse_catalog(text.encode(), origin="test.yaml")
    assert reason in str(refused.value)


def test_an_absent_user_catalog_is_empty(tmp_path: Path) -> None:
    assert read_user_catalog(tmp_path / "nowhere").entries == {}


def test_a_user_catalog_reads_back_as_it_was_written(tmp_path: Path) -> None:
    write_user_catalog(tmp_path / "models", Catalog({"mine": ENTRY}))
    assert read_user_catalog(tmp_path / "models").entries == {"mine": ENTRY}
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["user_catalog.yaml"]


def test_a_huge_user_catalog_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "user_catalog.yaml").write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(ModelError, match="larger than 1048576 bytes"):
        read_user_catalog(tmp_path)


def test_shipped_entries_win_over_a_users_of_the_same_name() -> None:
    mine = Catalog({"mine": ENTRY})
    other = CatalogEntry(name="mine", file="other.gguf", sources=["file:/x"])
    both = mine.extended(Catalog({"mine": other, "second": other}))
    assert both.entries == {"mine": ENTRY, "second": other}
