"""One request's tokens, its progress through the KV cache, and its named moments.

Made by the intake, then owned by the step loop alone. Knows nothing of llama.cpp, text or sampling.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from edge_agent.protocol import PromptTokens, SequenceTimes


class SequenceState(enum.Enum):
    """WAITING for cells and a sequence id, RUNNING in steps, FINISHED for good."""

    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"


@dataclass(slots=True, eq=False)
class Sequence:
    """Prompt and answer as one token list. `num_computed` of them have their KV cells; times are monotonic seconds."""

    id: int
    tokens: list[int]
    max_tokens: int
    arrived: float
    queued: float
    num_prompt_tokens: int = field(init=False)
    state: SequenceState = SequenceState.WAITING
    seq_id: int | None = None
    num_computed: int = 0
    # Cells found in the prefix cache at the latest admission.
    num_hit: int = 0
    # Prompt tokens already counted by source: what is computed again later is not counted again.
    num_prompt_counted: int = 0
    num_from_memory: int = 0
    # Later sequences that were admitted before this one.
    num_overtaken: int = 0
    scheduled: float | None = None
    first_token: float | None = None
    last_token: float | None = None
    finished: float | None = None

    def __post_init__(self) -> None:
        self.num_prompt_tokens = len(self.tokens)

    @property
    def running_id(self) -> int:
        """llama.cpp's id of a running sequence."""
        if self.seq_id is None:
            raise RuntimeError(f"sequence {self.id} is not running")
        return self.seq_id

    @property
    def num_generated(self) -> int:
        return len(self.tokens) - self.num_prompt_tokens

    @property
    def num_uncomputed(self) -> int:
        return len(self.tokens) - self.num_computed

    @property
    def is_decoding(self) -> bool:
        """Whether only the newest token of the answer still has to be computed."""
        return self.num_generated > 0 and self.num_uncomputed == 1

    @property
    def prompt(self) -> PromptTokens:
        """Prompt tokens counted so far, by source."""
        return PromptTokens(computed=self.num_prompt_counted - self.num_from_memory, memory=self.num_from_memory)

    def count_prompt(self) -> PromptTokens:
        """The prompt tokens that became computed since the last call, by source."""
        end = min(self.num_computed, self.num_prompt_tokens)
        num_new = max(0, end - self.num_prompt_counted)
        num_from_memory = min(self.num_hit, num_new) if self.num_prompt_counted == 0 else 0
        self.num_prompt_counted += num_new
        self.num_from_memory += num_from_memory
        return PromptTokens(computed=num_new - num_from_memory, memory=num_from_memory)

    @property
    def times(self) -> SequenceTimes:
        return SequenceTimes(
            arrived=self.arrived,
            queued=self.queued,
            scheduled=self.scheduled,
            first_token=self.first_token,
            last_token=self.last_token,
            finished=self.finished,
        )
