"""A tuning record for people: one line for each change that was tried, and why the choice is what it is. Pure."""

from __future__ import annotations

from edge_agent.benchmark.bench_report import aligned, spell_settings
from edge_agent.benchmark.speeds import Speeds
from edge_agent.tuning.candidates import describe_change
from edge_agent.tuning.record import TuningRecord
from edge_agent.tuning.search import Trial, Verdict

HEADINGS = ("CHANGE", "PREFILL", "DECODE", "INSTEAD OF", "", "GAIN", "")
WORDS = {Verdict.TAKEN: "taken", Verdict.NO_GAIN: "not taken", Verdict.FAILED: "failed", Verdict.SKIPPED: "left out"}
# An engine's last words are longer than a line.
MAX_REASON_CHARACTERS = 60


def tuning_table(record: TuningRecord) -> str:
    """Speeds in tokens a second; each change beside what it was made to."""
    rows = [HEADINGS, *(_row(trial) for trial in record.trials)]
    lines = [aligned(rows)] if record.trials else []
    return "\n".join([*lines, "", f"choice: {spell_settings(record.settings)}", f"why: {record.why}"]).lstrip("\n")


def _row(trial: Trial) -> tuple[str, ...]:
    gain = "-" if trial.gain is None else f"{trial.gain:+.1%}"
    change = describe_change(trial.base, trial.settings)
    reason = f": {trial.reason[:MAX_REASON_CHARACTERS]}" if trial.reason else ""
    return (change, *_speeds(trial.speeds), *_speeds(trial.base_speeds), gain, WORDS[trial.verdict] + reason)


def _speeds(speeds: Speeds | None) -> tuple[str, str]:
    return ("-", "-") if speeds is None else (f"{speeds.prefill:.1f}", f"{speeds.decode:.1f}")
