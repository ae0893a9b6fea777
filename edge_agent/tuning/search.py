"""The search for the fastest settings: one change after the other upon the best so far. Pure: measurements come in.

A change is taken only when it beats what it changes by more than the noise, measured before and after it, so that a
board which grows hotter meanwhile does not decide.
"""

from __future__ import annotations

import collections
import enum
import math
from collections.abc import Sequence
from typing import Literal

import msgspec

from edge_agent.benchmark.speeds import Speeds
from edge_agent.tuned_settings import TunedSettings
from edge_agent.tuning.candidates import Change, describe_change

Preference = Literal["balanced", "prefill", "decode"]

# The exponent of prefill in the score, decode has the rest. A tenth for the speed that is not preferred: of two
# settings that are equal in the one, the better in the other wins.
PREFILL_WEIGHTS: dict[Preference, float] = {"balanced": 0.5, "prefill": 0.9, "decode": 0.1}
# 3 %: what two measurements of the same settings differ by.
MIN_GAIN = 0.03
# 10 %: a board that grows hot loses less from one measurement to the next. More is another program's work.
MAX_DRIFT = 0.1


class Verdict(enum.Enum):
    """What became of a change."""

    TAKEN = "taken"
    NO_GAIN = "no_gain"
    FAILED = "failed"
    SKIPPED = "skipped"


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One change. `gain` is a fraction of the better of the two measurements of `base`."""

    base: TunedSettings
    settings: TunedSettings
    verdict: Verdict
    speeds: Speeds | None = None
    base_speeds: Speeds | None = None
    gain: float | None = None
    reason: str = ""


class Search:
    """Where the search stands. Each candidate of `next_candidate` must be followed by one of the three notes on it."""

    def __init__(self, default: TunedSettings, changes: Sequence[Change], *, prefer: Preference) -> None:
        self.default = default
        self.best = default
        self.trials: list[Trial] = []
        self._changes = collections.deque(changes)
        self._prefer: Preference = prefer
        self._seen = {default}

    @property
    def num_left(self) -> int:
        """Changes not looked at yet; some of them may turn out to have been tried."""
        return len(self._changes)

    def next_candidate(self) -> TunedSettings | None:
        """What to measure now, the same until something is noted about it. None: the search is over."""
        while self._changes:
            candidate = msgspec.structs.replace(self.best, **self._changes[0])
            if candidate not in self._seen:
                return candidate
            self._changes.popleft()
        return None

    def is_steady(self, before: Speeds, after: Speeds) -> bool:
        """Whether two measurements of the same settings agree well enough to compare others with them."""
        scores = self._score(before), self._score(after)
        return max(scores) <= min(scores) * (1 + MAX_DRIFT)

    def note_speeds(self, speeds: Speeds, *, before: Speeds, after: Speeds) -> None:
        """The candidate's speeds, and the best's just before and just after it."""
        base_speeds = max(before, after, key=self._score)
        gain = self._score(speeds) / self._score(base_speeds) - 1
        trial = Trial(
            base=self.best,
            settings=self._candidate(),
            verdict=Verdict.TAKEN if gain >= MIN_GAIN else Verdict.NO_GAIN,
            speeds=speeds,
            base_speeds=base_speeds,
            gain=gain,
        )
        self._note(trial)
        if trial.verdict is Verdict.TAKEN:
            self.best = trial.settings

    def note_failure(self, reason: str) -> None:
        """The engine could not be run with the candidate."""
        self._note(Trial(base=self.best, settings=self._candidate(), verdict=Verdict.FAILED, reason=reason))

    def note_skip(self, reason: str) -> None:
        """The candidate is not tried."""
        self._note(Trial(base=self.best, settings=self._candidate(), verdict=Verdict.SKIPPED, reason=reason))

    def explain(self) -> str:
        """Why the best is the best, in a sentence."""
        taken = [trial for trial in self.trials if trial.verdict is Verdict.TAKEN]
        num_measured = sum(trial.speeds is not None for trial in self.trials)
        tried = f"changes measured: {num_measured}"
        if not taken:
            return f"{tried}; none was {MIN_GAIN:.0%} faster ({self._prefer}) than the default"
        gains = "; ".join(f"{describe_change(t.base, t.settings)} (+{t.gain or 0:.0%}{_speeds_of(t)})" for t in taken)
        return f"{tried}; these were at least {MIN_GAIN:.0%} faster ({self._prefer}): {gains}"

    def _note(self, trial: Trial) -> None:
        self.trials.append(trial)
        self._seen.add(trial.settings)
        self._changes.popleft()

    def _candidate(self) -> TunedSettings:
        candidate = self.next_candidate()
        if candidate is None:
            raise ValueError("the search is over, nothing is being tried")
        return candidate

    def _score(self, speeds: Speeds) -> float:
        """The weighted geometric mean of both speeds: gains in per cent count alike, whatever the numbers."""
        weight = PREFILL_WEIGHTS[self._prefer]
        return math.pow(speeds.prefill, weight) * math.pow(speeds.decode, 1 - weight)


def _speeds_of(trial: Trial) -> str:
    if trial.speeds is None or trial.base_speeds is None:
        return ""
    before, after = trial.base_speeds, trial.speeds
    prefill = f"prefill {before.prefill:.1f} to {after.prefill:.1f}"
    return f": {prefill}, decode {before.decode:.1f} to {after.decode:.1f} tokens/s"
