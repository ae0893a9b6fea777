"""What may be tokenised at all: a tokenizer cannot be interrupted, so hostile text has to be refused before it.

Pure; used by the intake. llama.cpp looks for every special token of the vocabulary from each place where one ended to
the end of the text: its time grows with the number of places, the length and the number of special tokens.
"""

from __future__ import annotations

# 1 MiB, at least 200,000 ordinary tokens: a second on a PC, several on a Pi.
MAX_TEXT_BYTES = 1024 * 1024
# Special tokens in the text x bytes of the text x special tokens of the vocabulary. With 17 of them this is two seconds
# on a PC and ten on a Pi; the agent gives up on an intake after twenty. A thousand messages of 2 kB stay far below.
MAX_SEARCH = 100_000_000_000
# Ids in one detokenisation: half a second on a PC.
MAX_TOKENS = 200_000
# Bytes of text that tokens may make: a frame to the agent holds 64 MiB, and nobody reads as much.
MAX_DETOKENIZED_BYTES = 16 * 1024 * 1024


class TextLimits:
    """Limits for one vocabulary, whose special tokens' texts it is given: always read, and read only when asked for."""

    def __init__(self, *, always: frozenset[bytes], on_request: frozenset[bytes]) -> None:
        self._always = always - {b""}
        self._on_request = (always | on_request) - {b""}

    def complaint(self, raw: bytes, *, parse_special: bool) -> str | None:
        """Why this text is refused, and what to do; None when it may be tokenised."""
        if len(raw) > MAX_TEXT_BYTES:
            return f"the text has {len(raw)} bytes, at most {MAX_TEXT_BYTES} are tokenised at once: send a shorter one"
        special = self._on_request if parse_special else self._always
        if not special or _search(len(raw) // min(map(len, special)), raw, special) <= MAX_SEARCH:
            return None
        num_found = sum(map(raw.count, special))
        if _search(num_found, raw, special) <= MAX_SEARCH:
            return None
        return f"the text of {len(raw)} bytes has {num_found} special tokens, too many to tokenise: send a shorter one"


def _search(num_found: int, raw: bytes, special: frozenset[bytes]) -> int:
    return num_found * len(raw) * len(special)
