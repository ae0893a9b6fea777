"""Drafts for running answers: what the text so far suggests comes next, as much of it as pays in this step.

Owned by the step loop. Knows tokens and what steps cost; the scheduler says how much room there is, and what became of
a draft.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_agent.engine.draft_acceptance import DraftAcceptance
from edge_agent.engine.draft_length import DraftOffer, draft_lengths
from edge_agent.engine.draft_lookup import DraftLookup
from edge_agent.engine.sequence import Sequence
from edge_agent.engine.step_costs import StepCosts


@dataclass(slots=True)
class _Drafts:
    """What is known of one sequence; `match_length` is that of the draft under way."""

    lookup: DraftLookup
    acceptance: DraftAcceptance = field(default_factory=DraftAcceptance)
    match_length: int = 0


class Drafter:
    """At most `max_tokens` drafted tokens in a step, whoever they are for; 0 drafts nothing."""

    def __init__(self, *, costs: StepCosts, max_tokens: int, end_tokens: frozenset[int]) -> None:
        self._costs = costs
        self._max_tokens = max_tokens
        self._end_tokens = end_tokens
        self._drafts: dict[int, _Drafts] = {}

    def drafts(self, decoding: list[Sequence], *, max_rows: int) -> dict[int, list[int]]:
        """Tokens by the sequence's id, at most `max_rows` in all; sequences without any are left out."""
        max_tokens = min(max_rows, self._max_tokens)
        if max_tokens == 0:
            return {}
        proposals = [self._proposal(sequence, max_tokens) for sequence in decoding]
        offers = [
            DraftOffer(self._drafts[sequence.id].acceptance, self._drafts[sequence.id].match_length, len(proposal))
            for sequence, proposal in zip(decoding, proposals, strict=True)
        ]
        lengths = draft_lengths(offers, num_rows=len(decoding), max_tokens=max_tokens, seconds_of=self._costs.expected)
        return {
            sequence.id: proposal[:length]
            for sequence, proposal, length in zip(decoding, proposals, lengths, strict=True)
            if length
        }

    def _proposal(self, sequence: Sequence, max_tokens: int) -> list[int]:
        drafts = self._drafts.get(sequence.id)
        if drafts is None:
            drafts = self._drafts[sequence.id] = _Drafts(DraftLookup(end_tokens=self._end_tokens))
        drafts.lookup.extend(sequence.tokens[len(drafts.lookup) :])
        drafts.match_length = drafts.lookup.match_length
        # The token behind the draft is the answer's too.
        num_left = sequence.max_tokens - sequence.num_generated - 1
        return drafts.lookup.propose(min(max_tokens, num_left)) if num_left > 0 else []

    def observe(self, sequence: Sequence, *, num_drafted: int, num_accepted: int) -> None:
        """The sequence's draft of the last step was checked."""
        drafts = self._drafts[sequence.id]
        drafts.acceptance.observe(drafts.match_length, num_drafted=num_drafted, num_accepted=num_accepted)

    def forget(self, sequence: Sequence) -> None:
        """The sequence is over."""
        self._drafts.pop(sequence.id, None)
