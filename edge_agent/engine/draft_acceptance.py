"""How likely a drafted token of one sequence is accepted, learned from how its drafts ended.

One a sequence, owned by the step loop; knows neither tokens nor what a row costs. It also keeps the sequence's
allowance for probes: drafts that do not seem to pay, made to see whether they would by now.
"""

from __future__ import annotations

from dataclasses import dataclass

# What a draft counts in the estimate, against the one after it: about the last five count.
MEMORY = 0.8
# Of the time in which a sequence does not draft, so much may go into probes.
PROBE_SHARE = 0.008


@dataclass(slots=True)
class _Estimate:
    """Drafted tokens that were accepted, of those that were tested; older ones count less."""

    accepted: float
    tested: float


class DraftAcceptance:
    """Estimates by length of the match that a draft comes from: the longer it is, the surer its next token."""

    def __init__(self) -> None:
        # What the sequence may spend on probes by now, and what the last one took.
        self.probe_seconds = 0.0
        self._last_probe_seconds = 0.0
        # What a first draft is made on. A wrong one costs little, since length grows only with success.
        self._short = _Estimate(accepted=0.3, tested=1.0)
        self._medium = _Estimate(accepted=0.5, tested=1.0)
        self._long = _Estimate(accepted=0.8, tested=1.0)

    def chance(self, match_length: int) -> float:
        """The probability that a drafted token is accepted, given that those before it were."""
        estimate = self._estimate(match_length)
        return estimate.accepted / estimate.tested

    def observe(self, match_length: int, *, num_drafted: int, num_accepted: int) -> None:
        """A draft of `num_drafted` tokens was tested up to the first that was wrong.

        Tokens behind the end of an answer were not tested: they do not belong into `num_drafted`.
        """
        if num_accepted == num_drafted:
            # A probe that was right has paid for itself: the next one need not be waited for.
            self.probe_seconds += self._last_probe_seconds
        self._last_probe_seconds = 0.0
        estimate = self._estimate(match_length)
        num_tested = min(num_drafted, num_accepted + 1)
        estimate.accepted = MEMORY * estimate.accepted + num_accepted
        estimate.tested = MEMORY * estimate.tested + num_tested

    def earn_probes(self, step_seconds: float) -> None:
        """A step of so many seconds, this sequence's part of it, went by without a draft."""
        self.probe_seconds += PROBE_SHARE * step_seconds

    def spend_probe(self, seconds: float) -> bool:
        """Whether a probe that makes the step so much longer can be afforded; then it is paid for."""
        if seconds > self.probe_seconds:
            return False
        self.probe_seconds -= seconds
        self._last_probe_seconds = seconds
        return True

    def _estimate(self, match_length: int) -> _Estimate:
        if match_length < 4:
            return self._short
        return self._medium if match_length < 8 else self._long
