"""A client's request as the agent holds it, and the open answer that it becomes.

Used on the event loop only. Which HTTP API it came by, this module does not know.
"""

from __future__ import annotations

import msgspec

from edge_agent.protocol import Prompt, SamplingSettings


class GenerationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asked for, checked and in the engine's terms; `arrived` is CLOCK_MONOTONIC seconds."""

    prompt: Prompt
    arrived: float
    sampling: SamplingSettings = SamplingSettings()
    max_tokens: int | None = None
    stop: list[str] = []
    ignore_eos: bool = False
    num_logprobs: int | None = None
