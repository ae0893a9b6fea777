"""Widths of models that are too large for a test."""

from edge_agent.models.shape import ModelShape

QWEN3_4B = ModelShape(
    num_layers=36,
    embedding_length=2560,
    num_kv_heads=8,
    key_length=128,
    value_length=128,
    vocabulary_size=151936,
    trained_context_length=262144,
    num_heads=32,
    feed_forward_length=9728,
)
