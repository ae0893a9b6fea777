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
    # Cells found in the prefix cache at the latest admission, those among them that came from the disk, and those at
    # the beginning that are another conversation's too.
    num_hit: int = 0
    num_hit_on_disk: int = 0
    num_shared: int = 0
    # Prompt tokens already counted by source: what is computed again later is not counted again.
    num_prompt_counted: int = 0
    num_from_memory: int = 0
    num_from_disk: int = 0
    # Tokens guessed ahead, and how many of them were right.
    num_drafted: int = 0
    num_accepted: int = 0
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
        num_computed = self.num_prompt_counted - self.num_from_memory - self.num_from_disk
        return PromptTokens(computed=num_computed, memory=self.num_from_memory, disk=self.num_from_disk)

    def count_prompt(self) -> PromptTokens:
        """The prompt tokens that became computed since the last call, by source."""
        end = min(self.num_computed, self.num_prompt_tokens)
        num_new = max(0, end - self.num_prompt_counted)
        num_hit = min(self.num_hit, num_new) if self.num_prompt_counted == 0 else 0
        num_from_disk = min(self.num_hit_on_disk, num_hit)
        self.num_prompt_counted += num_new
        self.num_from_memory += num_hit - num_from_disk
        self.num_from_disk += num_from_disk
        return PromptTokens(computed=num_new - num_hit, memory=num_hit - num_from_disk, disk=num_from_disk)

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
