"""What the measured engine is asked: prompts that share no prefix, as long as the board can take in the time. Pure."""

from __future__ import annotations

from msgspec import Struct

from edge_agent.benchmark.speeds import Speeds
from edge_agent.protocol import TokenPrompt

# 64 to 512 tokens: fewer fill no step of a large batch, more tell nothing new.
PREFILL_TOKENS = (64, 512)
# 8 to 64 tokens: fewer are all noise.
DECODE_TOKENS = (8, 64)
# Primes, so that with vocabularies of any usual size neighbours and prompts differ.
PROMPT_STRIDE = 7919
TOKEN_STRIDE = 104729


class Prompts:
    """Makes prompts of any tokens; each begins with another one, so that none finds cells of an earlier one."""

    def __init__(self, vocabulary_size: int) -> None:
        self._vocabulary_size = vocabulary_size
        self._num_made = 0

    def make(self, num_tokens: int) -> TokenPrompt:
        self._num_made += 1
        first = self._num_made * PROMPT_STRIDE
        return TokenPrompt([(first + place * TOKEN_STRIDE) % self._vocabulary_size for place in range(num_tokens)])


class Sizes(Struct, frozen=True, kw_only=True):
    """Tokens of one round: of its prompt, and of each answer."""

    num_prefill_tokens: int
    num_decode_tokens: int


def sizes_for(speeds: Speeds, *, seconds: float, context_length: int) -> Sizes:
    """What takes about `seconds` for the prompt and as much for the answer, within limits; fits beside 8 answers."""
    return Sizes(
        num_prefill_tokens=min(_within(PREFILL_TOKENS, speeds.prefill * seconds), context_length // 2),
        num_decode_tokens=min(_within(DECODE_TOKENS, speeds.decode * seconds), context_length // 16),
    )


def _within(limits: tuple[int, int], number: float) -> int:
    least, most = limits
    return max(least, min(most, int(number)))
