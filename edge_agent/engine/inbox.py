"""What the intake hands to the step loop, through one queue."""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.engine.sequence import Sequence
from edge_agent.protocol import Submit


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
class StopLoop:
    """End the step loop; nobody listens any more."""


InboxItem = NewSequence | CancelSequence | StopLoop
