"""Which servers are compared on which model and on what: the suites of `make bench` as data. Starts nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .goals import FOR_DECODE, FOR_PREFILL, LLAMA_SERVER, NGRAM, PYTHON_SERVER

SMALL_MODEL = "smollm2-135m-instruct"
GEMMA = "gemma-3-270m"
# Weights of the 4B shape are random: what a draft gains on noise that happens to repeat itself would mean nothing.
WITHOUT_DRAFTS: Mapping[str, object] = {"scheduler.max_draft_tokens": 0}
TUNED_FOR_PREFILL: Mapping[str, object] = {**WITHOUT_DRAFTS, "model.repack": False}
TUNED_FOR_DECODE: Mapping[str, object] = {**WITHOUT_DRAFTS, "model.repack": True, "model.kv_cache_type": "q8_0"}


@dataclass(frozen=True, slots=True)
class Rival:
    """Who edge-agent is compared with, further words of its command line, and on which workloads of the part."""

    name: str
    workloads: tuple[str, ...]
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Servers that are up together. `model` None is the 4B shape; `titles` renames workloads in the report."""

    model: str | None
    context_length: int
    num_sequences: int
    workloads: tuple[str, ...]
    rivals: tuple[Rival, ...]
    settings: Mapping[str, object] = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)


SMALL_WORKLOADS = ("distinct1", "distinct8", "shared8", "turns", "turns-warm", "intrude", "copy", "loop")
GEMMA_WORKLOADS = ("distinct4", "turns", "turns-warm", "shared4")
FOUR_B_WORKLOADS = ("distinct1", "shared4", "intrude")

PARTS: Mapping[str, tuple[Part, ...]] = {
    "small": (
        Part(
            model=SMALL_MODEL, context_length=16384, num_sequences=8, workloads=SMALL_WORKLOADS,
            rivals=(
                Rival(LLAMA_SERVER, SMALL_WORKLOADS),
                Rival(NGRAM, ("copy", "loop"), ("--spec-type", "ngram-simple")),
                # It serves one sequence: what needs several would measure its queue.
                Rival(PYTHON_SERVER, ("distinct1", "turns", "copy")),
            ),
        ),
    ),
    "gemma": (
        Part(
            model=GEMMA, context_length=16384, num_sequences=8, workloads=GEMMA_WORKLOADS,
            # A base model without a template of its own: edge-agent takes ChatML then.
            rivals=(Rival(LLAMA_SERVER, GEMMA_WORKLOADS, ("--chat-template", "chatml")),),
        ),
    ),
    "4b": (
        Part(
            model=None, context_length=8192, num_sequences=4, workloads=FOUR_B_WORKLOADS,
            rivals=(Rival(LLAMA_SERVER, FOUR_B_WORKLOADS),),
            settings=TUNED_FOR_PREFILL, titles={"distinct1": FOR_PREFILL},
        ),
        Part(
            model=None, context_length=8192, num_sequences=4, workloads=("distinct1",),
            rivals=(Rival(LLAMA_SERVER, ("distinct1",)),),
            settings=TUNED_FOR_DECODE, titles={"distinct1": FOR_DECODE},
        ),
    ),
}  # fmt: skip
