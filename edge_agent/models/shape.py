"""A model's widths, as far as memory depends on them: known from a GGUF's header, or from the catalog before that."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Width = Annotated[int, Meta(ge=0, le=2**31 - 1)]
MAX_LAYERS = 512
LayerNumber = Annotated[int, Meta(ge=0, lt=MAX_LAYERS)]
# A model whose feed-forward width is not known is taken for one of the usual proportions.
USUAL_FEED_FORWARD_FACTOR = 4


class ModelShape(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Layers, elements and tokens. `num_kv_heads` and `num_heads` are those of every layer, or one number a layer.

    What has a default may be unknown: 0 then. `feed_forward_length` counts all experts that one token uses.
    """

    num_layers: Annotated[int, Meta(ge=1, le=MAX_LAYERS)]
    embedding_length: Annotated[int, Meta(ge=1, le=2**20)]
    num_kv_heads: Width | Annotated[list[Width], Meta(max_length=MAX_LAYERS)]
    key_length: Width
    value_length: Width
    vocabulary_size: Width
    trained_context_length: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    num_heads: Width | Annotated[list[Width], Meta(max_length=MAX_LAYERS)] = 0
    feed_forward_length: Width = 0
    num_used_experts: Width = 0
    # Tokens that layers outside of `full_attention_layers` look back on; 0 or None: every layer looks back on all.
    sliding_window: Width = 0
    full_attention_layers: Annotated[list[LayerNumber], Meta(max_length=MAX_LAYERS)] | None = None

    @property
    def num_kv_elements_per_cell(self) -> int:
        """Elements of keys and values that one token keeps, over all layers."""
        return sum(self._kv_heads_by_layer()) * (self.key_length + self.value_length)

    @property
    def num_window_kv_elements_per_cell(self) -> int:
        """Those of them in layers that look back on a sliding window only."""
        if not self.sliding_window or self.full_attention_layers is None:
            return 0
        full = frozenset(self.full_attention_layers)
        heads = (heads for layer, heads in enumerate(self._kv_heads_by_layer()) if layer not in full)
        return sum(heads) * (self.key_length + self.value_length)

    @property
    def most_heads(self) -> int:
        """Attention heads of the layer that has most; at least 1."""
        most = max(self.num_heads, default=0) if isinstance(self.num_heads, list) else self.num_heads
        return most or max(1, self.embedding_length // max(1, self.key_length))

    @property
    def feed_forward_width(self) -> int:
        """Elements of a row between the two halves of a feed-forward layer."""
        return self.feed_forward_length or USUAL_FEED_FORWARD_FACTOR * self.embedding_length

    @property
    def has_blocks_of_32(self) -> bool:
        """Whether heads can be kept in q8_0, whose blocks are 32 elements of one head."""
        return self.key_length % 32 == 0 and self.value_length % 32 == 0

    def _kv_heads_by_layer(self) -> list[int]:
        heads = self.num_kv_heads
        return heads if isinstance(heads, list) else [heads] * self.num_layers
