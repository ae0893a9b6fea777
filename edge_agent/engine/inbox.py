"""What the intake, and the thread that writes prefixes, hand to the step loop, through one queue."""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.engine.prefix_writer import Written
from edge_agent.engine.sequence import Sequence
from edge_agent.protocol import DropPrefix, ListPrefixes, Submit


@dataclass(frozen=True, slots=True)
class NewSequence:
    """An accepted request; the sequence belongs to the step loop from here on."""

    sequence: Sequence
    request: Submit


@dataclass(frozen=True, slots=True)
class CancelSequence:
    """Free what the request holds, wherever it is by now."""

    request_id: int


@dataclass(frozen=True, slots=True)
class NewPin:
    """A prefix to be computed, without an answer, and kept on disk."""

    sequence: Sequence
    name: str | None


@dataclass(frozen=True, slots=True)
class PrefixWritten:
    """From the thread that writes prefixes: a file is there, or could not be written."""

    written: Written


@dataclass(frozen=True, slots=True)
class StopLoop:
    """End the step loop; nobody listens any more."""


PrefixItem = ListPrefixes | DropPrefix | PrefixWritten
InboxItem = NewSequence | NewPin | CancelSequence | PrefixItem | StopLoop
