"""Turns an answer's bytes into text that may be sent: whole characters, and nothing that may yet be a stop string.

Every byte is looked at once. Pure; owned by the step loop, one a sequence.
"""

from __future__ import annotations

import codecs


class AnswerText:
    """Feed pieces, take text. After a stop string was found nothing more comes out."""

    def __init__(self, stop: list[str]) -> None:
        self._stop = stop
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self.stop_string: str | None = None

    def feed(self, piece: bytes) -> str:
        """Text that is certain now. `stop_string` is set when one was completed: the answer ends before it."""
        self._held += self._decoder.decode(piece)
        if not self._stop:
            return self._release(len(self._held))
        found = self._earliest_stop()
        if found is not None:
            position, self.stop_string = found
            text, self._held = self._held[:position], ""
            return text
        return self._release(len(self._held) - self._num_undecided())

    def finish(self) -> str:
        """The rest, once no more pieces come; a broken UTF-8 character becomes U+FFFD."""
        if self.stop_string is not None:
            return ""
        self._held += self._decoder.decode(b"", final=True)
        return self._release(len(self._held))

    def _release(self, count: int) -> str:
        text, self._held = self._held[:count], self._held[count:]
        return text

    def _earliest_stop(self) -> tuple[int, str] | None:
        found = [(self._held.find(stop), stop) for stop in self._stop if stop in self._held]
        return min(found, default=None, key=lambda entry: entry[0])

    def _num_undecided(self) -> int:
        """Length of the longest end of the held text that starts a stop string."""
        longest = min(max(map(len, self._stop)) - 1, len(self._held))
        for length in range(longest, 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self._stop):
                return length
        return 0
