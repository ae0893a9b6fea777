"""The store finds, fetches, verifies, adds and removes model files, and says what to do where one is missing."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from edge_agent.errors import DownloadError, ModelError, ModelFileError, ModelNotFoundError
from edge_agent.models.catalog import Catalog, CatalogEntry
from edge_agent.models.download import Downloader
from edge_agent.models.store import ModelStore
from edge_agent.models.transfer import DownloadLimits
from tests.models.file_server import FileServer, Serving
from tests.models.gguf_builder import build_gguf, string, write_gguf

DATA = build_gguf()
SHA256 = hashlib.sha256(DATA).hexdigest()


def quiet(num_bytes: int, total: int | None) -> None:
    """Progress that nobody watches."""


def store_of(folder: Path, *, url: str = "https://unreachable.invalid/tiny.gguf", limits: DownloadLimits) -> ModelStore:
    entry = CatalogEntry(name="tiny", file="Tiny.gguf", sources=[url], size_bytes=len(DATA), sha256=SHA256)
    downloader = Downloader(limits=limits, pause=lambda _: None)
    return ModelStore(folder=folder / "models", catalog=Catalog({"tiny": entry}), downloader=downloader)


@pytest.fixture
def store(tmp_path: Path, server: FileServer, limits: DownloadLimits) -> ModelStore:
    return store_of(tmp_path, url=server.serve("/tiny.gguf", Serving(data=DATA)), limits=limits)


def test_a_pulled_model_is_found_with_its_digest(store: ModelStore, tmp_path: Path) -> None:
    pulled = store.pull("tiny", progress=quiet, environ={})
    assert pulled == store.find("tiny")
    assert (pulled.alias, pulled.path) == ("tiny", tmp_path / "models" / "Tiny.gguf")
    assert (pulled.size_bytes, pulled.sha256) == (len(DATA), SHA256)


def test_a_model_that_is_here_is_not_fetched_again(store: ModelStore, server: FileServer) -> None:
    store.pull("tiny", progress=quiet, environ={})
    store.pull("tiny", progress=quiet, environ={})
    assert len(server.asked) == 1


def test_a_model_that_is_not_here_is_answered_with_the_command_to_fetch_it(store: ModelStore) -> None:
    with pytest.raises(ModelNotFoundError, match="edge-agent models pull tiny"):
        store.find("tiny")


@pytest.mark.parametrize("name", ["other", "../tiny", "", "tiny\0"])
def test_an_unknown_name_is_answered_with_where_to_look(store: ModelStore, name: str) -> None:
    for ask in (store.find, store.verify, store.remove):
        with pytest.raises(ModelNotFoundError, match="edge-agent models list"):
            ask(name)


def test_a_file_of_another_size_is_not_taken_for_the_model(store: ModelStore) -> None:
    store.folder.mkdir()
    (store.folder / "Tiny.gguf").write_bytes(DATA[:-1])
    with pytest.raises(ModelFileError, match="edge-agent models remove tiny && edge-agent models pull tiny"):
        store.find("tiny")


def test_a_file_that_was_put_there_by_hand_has_no_digest_until_it_is_verified(store: ModelStore) -> None:
    store.folder.mkdir()
    (store.folder / "Tiny.gguf").write_bytes(DATA)
    assert store.find("tiny").sha256 is None
    assert store.verify("tiny").sha256 == SHA256
    assert store.find("tiny").sha256 == SHA256


def test_a_file_that_changed_after_it_was_verified_has_no_digest(store: ModelStore) -> None:
    path = store.pull("tiny", progress=quiet, environ={}).path
    path.write_bytes(bytes(len(DATA)))
    os.utime(path, ns=(1, 1))
    assert store.find("tiny").sha256 is None
    with pytest.raises(ModelFileError, match=f"should have {SHA256}"):
        store.verify("tiny")


@pytest.mark.parametrize("record", [b"", b"{}", b"\xff", b'{"sha256": "x", "size_bytes": 1, "mtime_ns": 1}'])
def test_a_broken_digest_record_counts_as_none(store: ModelStore, record: bytes) -> None:
    path = store.pull("tiny", progress=quiet, environ={}).path
    path.with_name("Tiny.gguf.digest").write_bytes(record)
    assert store.find("tiny").sha256 is None


def test_a_path_is_resolved_under_the_given_name(store: ModelStore, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "own.gguf")
    resolved = store.resolve(name="my-alias", path=str(path))
    assert (resolved.alias, resolved.path, resolved.size_bytes) == ("my-alias", path, len(DATA))
    assert resolved.sha256 is None


def test_without_a_path_the_catalogs_file_is_resolved(store: ModelStore) -> None:
    pulled = store.pull("tiny", progress=quiet, environ={})
    assert store.resolve(name="tiny", path=None) == pulled


@pytest.mark.parametrize("path", ["/nowhere/m.gguf", "/", "nul\0byte"])
def test_a_path_without_a_file_is_named(store: ModelStore, path: str) -> None:
    with pytest.raises(ModelNotFoundError, match=r"model\.path is "):
        store.resolve(name="x", path=path)


def test_an_added_url_is_pulled_verified_and_removed(
    tmp_path: Path, server: FileServer, limits: DownloadLimits
) -> None:
    store = store_of(tmp_path, limits=limits)
    store.add("mine", server.serve("/mine.gguf", Serving(data=DATA)), sha256=SHA256)
    assert store.pull("mine", progress=quiet, environ={}).sha256 == SHA256
    assert store.verify("mine").path.name == "mine.gguf"
    assert store.remove("mine") == len(DATA)
    assert [stored.entry.name for stored in store.list()] == ["tiny"]
    assert [path.name for path in store.folder.iterdir()] == ["user_catalog.yaml"]


def test_an_added_file_is_known_by_its_header_and_copied(store: ModelStore, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "own.gguf", {"general.name": string("My Own")})
    entry = store.add("own", str(path))
    assert (entry.description, entry.size_bytes, entry.sources) == ("My Own", path.stat().st_size, [f"file:{path}"])
    assert entry.shape is not None
    assert store.pull("own", progress=quiet, environ={}).path == store.folder / "own.gguf"
    store.remove("own")
    assert path.exists()


def test_what_is_added_is_seen_by_another_store(store: ModelStore, tmp_path: Path, limits: DownloadLimits) -> None:
    store.add("mine", "https://h.example/m.gguf")
    listed = store_of(tmp_path, limits=limits).list()
    assert [(stored.entry.name, stored.is_user_added) for stored in listed] == [("tiny", False), ("mine", True)]


@pytest.mark.parametrize(
    ("name", "source", "sha256", "reason"),
    [
        ("tiny", "https://h.example/m.gguf", None, "the model tiny already has this name"),
        ("../x", "https://h.example/m.gguf", None, "cannot be a model's name"),
        ("mine", "http://h.example/m.gguf", None, "is not https"),
        ("mine", "absent.gguf", None, "neither a file here nor a source"),
        ("mine", "https://h.example/m.gguf", "abc", "64 lower-case hex digits"),
    ],
)
def test_an_entry_that_cannot_be_used_is_not_added(
    store: ModelStore, name: str, source: str, sha256: str | None, reason: str
) -> None:
    with pytest.raises(ModelError, match=reason):
        store.add(name, source, sha256=sha256)
    assert not store.folder.exists()


def test_a_name_whose_file_another_model_has_is_not_added(tmp_path: Path, limits: DownloadLimits) -> None:
    entry = CatalogEntry(name="shipped", file="other.gguf", sources=["https://h.example/x"])
    store = ModelStore(folder=tmp_path, catalog=Catalog({"shipped": entry}))
    with pytest.raises(ModelError, match="the model shipped already has this name or file"):
        store.add("other", "https://h.example/m.gguf")


def test_a_local_file_that_is_no_model_is_not_added(store: ModelStore, tmp_path: Path) -> None:
    (tmp_path / "page.gguf").write_text("<html>")
    with pytest.raises(ModelFileError, match="does not start as a GGUF"):
        store.add("page", str(tmp_path / "page.gguf"))


def test_a_download_that_is_no_model_never_gets_the_name(
    tmp_path: Path, server: FileServer, limits: DownloadLimits
) -> None:
    store = store_of(tmp_path, limits=limits)
    store.add("page", server.serve("/page", Serving(data=b"<html>log in first</html>")))
    with pytest.raises(DownloadError, match="does not start as a GGUF"):
        store.pull("page", progress=quiet, environ={})
    assert [path.name for path in store.folder.iterdir()] == ["user_catalog.yaml"]


def test_a_partial_download_is_listed_and_removed(store: ModelStore) -> None:
    store.folder.mkdir()
    (store.folder / "Tiny.gguf.partial").write_bytes(b"1234")
    stored = store.list()[0]
    assert (stored.size_bytes, stored.num_partial_bytes) == (None, 4)
    (store.folder / "Tiny.gguf.partial.origin").write_bytes(b"{}")
    (store.folder / "Tiny.gguf.wheels").mkdir()
    assert store.remove("tiny") == 4
    assert list(store.folder.iterdir()) == []
    assert [entry.entry.name for entry in store.list()] == ["tiny"]
