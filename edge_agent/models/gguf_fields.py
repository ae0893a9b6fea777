"""Typed questions to a GGUF's metadata: an integer in range, a text, one number or one a layer.

Knows the keys' types and ranges, not what llama.cpp makes of them; that is `gguf_checks`.
"""

from __future__ import annotations

import re

from edge_agent.errors import ModelFileError
from edge_agent.models.gguf_metadata import TOKENS_KEY, Metadata, Numbers, Value, Vocabulary

ARCHITECTURE = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
# llama.cpp keeps fixed arrays of this many layers and ends the process on more.
MAX_LAYERS = 512
MAX_INTEGER = 2**31 - 1


class GgufFields:
    """The metadata of one file. Each method raises ModelFileError for what is missing, mistyped or out of range."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    def get(self, key: str) -> Value | None:
        """The value as it was read."""
        return self._metadata.get(key)

    def integer(self, key: str, *, default: int | None = None, lowest: int = 0) -> int:
        value = self._metadata.get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, int) or isinstance(value, bool):
            raise ModelFileError(f"the metadata key {key} is {'missing' if value is None else 'not an integer'}")
        return _in_range(key, value, lowest)

    def model_integer(self, name: str, *, default: int | None = None, lowest: int = 0) -> int:
        """An integer under the architecture's own prefix."""
        return self.integer(self._model_key(name), default=default, lowest=lowest)

    def text(self, key: str, *, default: str | None = None) -> str:
        """A string; bytes that are not UTF-8 are replaced."""
        value = self._metadata.get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, bytes):
            raise ModelFileError(f"the metadata key {key} is {'missing' if value is None else 'not a string'}")
        return value.decode("utf-8", errors="replace")

    def model_text(self, name: str, *, default: str) -> str:
        return self.text(self._model_key(name), default=default)

    def is_set(self, key: str) -> bool:
        """A flag; absent is False."""
        value = self._metadata.get(key, False)
        if not isinstance(value, bool):
            raise ModelFileError(f"the metadata key {key} is not true or false")
        return value

    def model_numbers(self, name: str, *, default: int | list[int]) -> int | list[int]:
        """One integer for all layers, or one a layer."""
        key = self._model_key(name)
        value = self._metadata.get(key)
        if value is None:
            return default
        if not isinstance(value, Numbers):
            return self.integer(key)
        if value.count != self.num_layers:
            raise ModelFileError(f"the metadata key {key} has {value.count} numbers for {self.num_layers} layers")
        return [_layer_integer(key, number) for number in value.values()]

    @property
    def architecture(self) -> str:
        name = self.text("general.architecture")
        if not ARCHITECTURE.fullmatch(name):
            raise ModelFileError("the metadata key general.architecture is not the name of an architecture")
        return name

    @property
    def num_layers(self) -> int:
        count = self.model_integer("block_count", lowest=1)
        if count > MAX_LAYERS:
            raise ModelFileError(f"the model has {count} layers, at most {MAX_LAYERS} are possible")
        return count

    @property
    def num_heads(self) -> int | list[int]:
        return self.model_numbers("attention.head_count", default=0)

    @property
    def num_kv_heads(self) -> int | list[int]:
        return self.model_numbers("attention.head_count_kv", default=self.num_heads)

    @property
    def default_head_length(self) -> int:
        """A head's width where the file does not state it: the embedding shared out among the first layer's heads."""
        heads = self.num_heads
        num_heads = heads[0] if isinstance(heads, list) else heads
        return self.model_integer("embedding_length") // num_heads if num_heads else 0

    @property
    def vocabulary(self) -> Vocabulary:
        value = self._metadata.get(TOKENS_KEY)
        if not isinstance(value, Vocabulary):
            raise ModelFileError(f"the metadata key {TOKENS_KEY} is missing or not a list of strings")
        return value

    def _model_key(self, name: str) -> str:
        return f"{self.architecture}.{name}"


def _layer_integer(key: str, number: float) -> int:
    if not isinstance(number, int):
        raise ModelFileError(f"the metadata key {key} holds numbers that are not integers")
    return _in_range(key, number, 0)


def _in_range(key: str, number: int, lowest: int) -> int:
    if not lowest <= number <= MAX_INTEGER:
        raise ModelFileError(f"the metadata key {key} is {number}, allowed are {lowest} to {MAX_INTEGER}")
    return int(number)
