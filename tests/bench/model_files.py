"""The GGUF files that are measured with: the catalog's small ones, and one of a 4B model's shape made here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from edge_agent.errors import ModelNotFoundError
from edge_agent.models.catalog import shipped_catalog
from edge_agent.models.store import ModelStore

from .random_model import FOUR_B, NARROW, Shape, write_random_model
from .suites import SMALL_MODEL


class ModelFiles:
    """Fetches or makes a file when it is first asked for. `store` is edge-agent's own folder of models."""

    def __init__(self, *, store: Path, cache: Path) -> None:
        self._store = ModelStore(folder=store, catalog=shipped_catalog())
        self._cache = cache

    def of_catalog(self, name: str) -> Path:
        """Verified once, so that its digest is known. Raises CalledProcessError when it cannot be fetched;
        edge-agent's words are shown.
        """
        try:
            file = self._store.find(name)
        except ModelNotFoundError:
            subprocess.run([sys.executable, "-m", "edge_agent", "models", "pull", name], check=True)
            file = self._store.find(name)
        return file.path if file.sha256 else self._store.verify(name).path

    def of_4b_shape(self) -> Path:
        """2.5 GB, of the shapes and quantisation of Qwen3-4B in Q4_K_M."""
        return self._random(FOUR_B)

    def of_4b_vocabulary(self) -> Path:
        """A step of next to nothing, with all that a 4B model's vocabulary costs around it."""
        return self._random(NARROW)

    def _random(self, shape: Shape) -> Path:
        path = self._cache / f"{shape.name}.gguf"
        if not path.exists():
            write_random_model(shape, path, tokenizer_from=self.of_catalog(SMALL_MODEL))
        return path
