"""Which layers of a model look back on all tokens, and which on a sliding window, by llama.cpp's own rules.

A rule that is not known here counts as no window at all: more memory is then expected than is needed.
"""

from __future__ import annotations

from edge_agent.models.gguf_fields import GgufFields
from edge_agent.models.gguf_metadata import Numbers

PATTERN_NAME = "attention.sliding_window_pattern"
# Where a file does not state it: the last layer of each group of so many looks back on everything.
USUAL_GROUPS = {
    "cohere2": 4,
    "gemma2": 2,
    "gemma3": 6,
    "gemma3n": 5,
    "gpt-oss": 2,
    "olmo2": 4,
    "plamo3": 8,
}


def sliding_window(fields: GgufFields) -> int:
    """Tokens of the window; 0 where there is none."""
    return fields.model_integer("attention.sliding_window", default=0)


def full_attention_layers(fields: GgufFields) -> list[int] | None:
    """Layers that look back on everything; None: all of them. Raises ModelFileError for a pattern that is none."""
    if not sliding_window(fields):
        return None
    pattern = fields.get(f"{fields.architecture}.{PATTERN_NAME}")
    if isinstance(pattern, Numbers):
        return [layer for layer, has_window in enumerate(pattern.values()) if not has_window]
    group = USUAL_GROUPS.get(fields.architecture)
    if group is None:
        return None
    return _last_of_each_group(fields, fields.model_integer(PATTERN_NAME, default=group))


def _last_of_each_group(fields: GgufFields, group: int) -> list[int]:
    if group == 0:
        return []
    return [layer for layer in range(fields.num_layers) if layer % group == group - 1]
