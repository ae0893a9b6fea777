"""The known models: the shipped catalog, and the user's own entries in `user_catalog.yaml` beside the model files.

Reads and writes YAML, checks every entry, and knows nothing of which files are here.
"""

from __future__ import annotations

import importlib.resources
import re
from pathlib import Path

import msgspec
from msgspec import Struct

from edge_agent.errors import ModelError, ModelNotFoundError
from edge_agent.models.atomic_file import write_atomically
from edge_agent.models.shape import ModelShape
from edge_agent.models.sources import parse_source

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}\.gguf")
SHA256 = re.compile(r"[0-9a-f]{64}")
USER_CATALOG = "user_catalog.yaml"
# 1 MiB: thousands of entries.
MAX_CATALOG_BYTES = 1024 * 1024


class CatalogEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model. Size, digest and shape are None where a user did not know them; shipped entries have them all."""

    name: str
    file: str
    sources: list[str]
    size_bytes: int | None = None
    sha256: str | None = None
    licence: str = "unknown"
    description: str = ""
    shape: ModelShape | None = None


class CatalogFile(Struct, frozen=True, forbid_unknown_fields=True):
    """The YAML document."""

    models: list[CatalogEntry] = []


class Catalog(Struct, frozen=True):
    """Entries by name, in the order of the file."""

    entries: dict[str, CatalogEntry]

    def find(self, name: str) -> CatalogEntry:
        """The entry of this name. Raises ModelNotFoundError."""
        entry = self.entries.get(name)
        if entry is None:
            raise ModelNotFoundError(
                f"there is no model named {name!r}; see edge-agent models list, or add it with edge-agent models add"
            )
        return entry

    def extended(self, other: Catalog) -> Catalog:
        """Both catalogs' entries; this one's win."""
        return Catalog({**self.entries, **{n: e for n, e in other.entries.items() if n not in self.entries}})


def shipped_catalog() -> Catalog:
    """The catalog inside this package."""
    path = importlib.resources.files("edge_agent") / "catalog.yaml"
    return parse_catalog(path.read_bytes(), origin="the shipped catalog")


def read_user_catalog(folder: Path) -> Catalog:
    """The user's entries; none if there is no such file. Raises ModelError for one that cannot be read."""
    path = folder / USER_CATALOG
    try:
        with path.open("rb") as file:
            data = file.read(MAX_CATALOG_BYTES + 1)
    except FileNotFoundError:
        return Catalog({})
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > MAX_CATALOG_BYTES:
        raise ModelError(f"{path} is larger than {MAX_CATALOG_BYTES} bytes; it is not a catalog")
    return parse_catalog(data, origin=str(path))


def write_user_catalog(folder: Path, catalog: Catalog) -> None:
    """Replace the user's entries."""
    document = CatalogFile(list(catalog.entries.values()))
    write_atomically(folder / USER_CATALOG, msgspec.yaml.encode(document))


def parse_catalog(data: bytes, *, origin: str) -> Catalog:
    """Read a YAML document. Raises ModelError that names the entry at fault."""
    try:
        document = msgspec.yaml.decode(data, type=CatalogFile)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ModelError(f"{origin} is not a valid catalog: {error}") from error
    entries: dict[str, CatalogEntry] = {}
    for entry in document.models:
        check_entry(entry)
        if entry.name in entries:
            raise ModelError(f"{origin} has two entries named {entry.name}")
        entries[entry.name] = entry
    return Catalog(entries)


def check_name(name: str) -> None:
    """Raise ModelError unless this can name a model (and a file, and a label)."""
    if not NAME.fullmatch(name):
        raise ModelError(
            f"{name!r} cannot be a model's name; use up to 64 of a-z, 0-9, dot, underscore and dash, "
            f"beginning with a letter or digit"
        )


def check_entry(entry: CatalogEntry) -> None:
    """Raise ModelError for an entry whose name, file, digest or sources cannot be used."""
    check_name(entry.name)
    if not FILE_NAME.fullmatch(entry.file):
        raise ModelError(f"the model {entry.name} has the file name {entry.file!r}; it must be a plain NAME.gguf")
    if entry.sha256 is not None and not SHA256.fullmatch(entry.sha256):
        raise ModelError(f"the model {entry.name} has the sha256 {entry.sha256!r}; it must be 64 lower-case hex digits")
    if entry.size_bytes is not None and entry.size_bytes < 1:
        raise ModelError(f"the model {entry.name} has the size {entry.size_bytes}; it must be at least one byte")
    if not entry.sources:
        raise ModelError(f"the model {entry.name} has no sources")
    for source in entry.sources:
        parse_source(source)
