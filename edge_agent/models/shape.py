"""A model's widths, as far as memory depends on them: known from a GGUF's header, or from the catalog before that."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Width = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class ModelShape(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Layers, elements and tokens. `num_kv_heads` is that of every layer, or one number a layer."""

    num_layers: Annotated[int, Meta(ge=1, le=512)]
    embedding_length: Annotated[int, Meta(ge=1, le=2**20)]
    num_kv_heads: Width | list[Width]
    key_length: Width
    value_length: Width
    vocabulary_size: Width
    trained_context_length: Annotated[int, Meta(ge=1, le=2**31 - 1)]

    @property
    def num_kv_elements_per_cell(self) -> int:
        """Elements of keys and values that one token keeps, over all layers."""
        heads = self.num_kv_heads
        num_heads = sum(heads) if isinstance(heads, list) else heads * self.num_layers
        return num_heads * (self.key_length + self.value_length)
