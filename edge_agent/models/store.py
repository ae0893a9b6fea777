"""The model files on this machine: which are here, where one is, fetching, verifying, adding and removing them.

Owns one folder. Start-up asks it for a path; the command line does the rest. What is in a GGUF, `gguf_header` knows.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from edge_agent.errors import ModelError, ModelFileError, ModelNotFoundError
from edge_agent.models.catalog import (
    Catalog,
    CatalogEntry,
    check_entry,
    check_name,
    read_user_catalog,
    write_user_catalog,
)
from edge_agent.models.digest_record import compute_digest, record_path, recorded_digest, remember_digest
from edge_agent.models.download import Downloader, DownloadPlan
from edge_agent.models.gguf_header import read_header
from edge_agent.models.partial_file import origin_path, partial_path, staging_folder
from edge_agent.models.transfer import Expected, Progress


class ModelFile(Struct, frozen=True, kw_only=True):
    """A file that is here; `sha256` is None until it has been computed once."""

    alias: str
    path: Path
    size_bytes: int
    sha256: str | None


class StoredModel(Struct, frozen=True, kw_only=True):
    """A known model and what of it is here (None: nothing); a finished file has no partial bytes."""

    entry: CatalogEntry
    is_user_added: bool
    path: Path
    size_bytes: int | None
    num_partial_bytes: int


class ModelStore:
    """One folder of model files and the catalog that names them."""

    def __init__(self, *, folder: Path, catalog: Catalog, downloader: Downloader | None = None) -> None:
        self.folder = folder
        self._shipped = catalog
        self._downloader = downloader or Downloader()

    def list(self) -> list[StoredModel]:
        """Every known model, shipped ones first."""
        return [self._stored(entry) for entry in self._catalog().entries.values()]

    def find(self, name: str) -> ModelFile:
        """The file of a known model. Raises ModelNotFoundError, or ModelFileError if it has the wrong size."""
        entry = self._catalog().find(name)
        path = self._path(entry)
        size_bytes = _size(path)
        if size_bytes is None:
            raise ModelNotFoundError(f"the model {name} is not here yet; fetch it with: edge-agent models pull {name}")
        if entry.size_bytes not in {None, size_bytes}:
            raise ModelFileError(
                f"{path} has {size_bytes} bytes and not {entry.size_bytes}; fetch it again with: "
                f"edge-agent models remove {name} && edge-agent models pull {name}"
            )
        return ModelFile(alias=name, path=path, size_bytes=size_bytes, sha256=recorded_digest(path))

    def resolve(self, *, name: str, path: str | None) -> ModelFile:
        """What `model.name` and `model.path` mean: any file at the path, known as `name`, or the catalog's file."""
        if path is None:
            return self.find(name)
        file = Path(path).expanduser().absolute()
        size_bytes = _size(file)
        if size_bytes is None:
            raise ModelNotFoundError(f"model.path is {path!r}, and there is no such file; correct it or leave it out")
        return ModelFile(alias=name, path=file, size_bytes=size_bytes, sha256=recorded_digest(file))

    def pull(self, name: str, *, progress: Progress, environ: Mapping[str, str]) -> ModelFile:
        """Fetch the file unless it is here. Raises DownloadError, DiskSpaceError or ModelNotFoundError."""
        entry = self._catalog().find(name)
        path = self._path(entry)
        if _size(path) is not None:
            return self.find(name)
        plan = DownloadPlan(
            name=name, target=path, sources=entry.sources, expected=Expected(entry.size_bytes, entry.sha256)
        )
        sha256 = self._downloader.fetch(plan, progress=progress, environ=environ, check=read_header)
        remember_digest(path, sha256)
        return self.find(name)

    def verify(self, name: str) -> ModelFile:
        """Read the whole file and compare. Raises ModelFileError if it is not what the catalog, or its record, says."""
        file = self.find(name)
        expected = self._catalog().find(name).sha256 or file.sha256
        sha256 = compute_digest(file.path)
        if expected not in {None, sha256}:
            raise ModelFileError(
                f"{file.path} has the sha256 {sha256} and should have {expected}; fetch it again with: "
                f"edge-agent models remove {name} && edge-agent models pull {name}"
            )
        read_header(file.path)
        remember_digest(file.path, sha256)
        return self.find(name)

    def add(self, name: str, source: str, *, sha256: str | None = None) -> CatalogEntry:
        """Make a source, or a GGUF on this machine, known under a name. Raises ModelError."""
        check_name(name)
        entry = _entry(name, source, sha256)
        for known in self._catalog().entries.values():
            if known.name == name or known.file == entry.file:
                raise ModelError(
                    f"the model {known.name} already has this name or file; choose another, or remove it first"
                )
        check_entry(entry)
        user_catalog = read_user_catalog(self.folder)
        write_user_catalog(self.folder, Catalog({**user_catalog.entries, name: entry}))
        return entry

    def remove(self, name: str) -> int:
        """Delete the model's files, and its entry if a user added it. Returns the bytes that were freed."""
        stored = self._stored(self._catalog().find(name))
        _delete(stored.path)
        if stored.is_user_added:
            entries = read_user_catalog(self.folder).entries
            write_user_catalog(self.folder, Catalog({n: entry for n, entry in entries.items() if n != name}))
        return (stored.size_bytes or 0) + stored.num_partial_bytes

    def _catalog(self) -> Catalog:
        return self._shipped.extended(read_user_catalog(self.folder))

    def _path(self, entry: CatalogEntry) -> Path:
        return self.folder / entry.file

    def _stored(self, entry: CatalogEntry) -> StoredModel:
        path = self._path(entry)
        return StoredModel(
            entry=entry,
            is_user_added=entry.name not in self._shipped.entries,
            path=path,
            size_bytes=_size(path),
            num_partial_bytes=_size(partial_path(path)) or 0,
        )


def _entry(name: str, source: str, sha256: str | None) -> CatalogEntry:
    """A local file is read for its size and shape; its digest is taken when it is pulled."""
    path = Path(source).expanduser().absolute()
    if not path.is_file():
        return CatalogEntry(name=name, file=f"{name}.gguf", sources=[source], sha256=sha256)
    header = read_header(path)
    return CatalogEntry(
        name=name,
        file=f"{name}.gguf",
        sources=[f"file:{path}"],
        size_bytes=header.size_bytes,
        sha256=sha256,
        description=header.name,
        shape=header.shape,
    )


def _delete(file: Path) -> None:
    """Delete a model file and all that belongs to it."""
    for path in (file, record_path(file), partial_path(file), origin_path(file)):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise ModelError(f"{path} cannot be deleted: {error.strerror}; check the folder's owner") from error
    shutil.rmtree(staging_folder(file), ignore_errors=True)


def _size(path: Path) -> int | None:
    """The size of a regular file; None where there is none."""
    try:
        return path.stat().st_size if path.is_file() else None
    except (OSError, ValueError):
        return None
