"""The report of all suites as Markdown: first the goals, met or not, then every figure that was taken. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from .comparison import Row
from .results import SuiteResult

PREFACE = """\
# edge-agent beside others

Made by `make bench`. Same machine, same GGUF, same number of threads, same llama.cpp; servers are asked in turn, so
that what else the machine does slows all of them. Figures are medians of the rounds; believe the ratios, ours by
theirs, more than the figures. A first token, a gap and a wall time are better when they are shorter.
"""

ABOUT = {
    "small": "SmolLM2 135M Instruct, Q4_1. llama-server: `-np 8 -kvu -c 16384`; with `--spec-type ngram-simple` for "
    "copy and loop too. llama-cpp-python's server answers one request at a time: only what asks for no more.",
    "gemma": "Gemma 3 270M, Q4_K_M, a base model with sliding-window attention; ChatML for both. llama-server: "
    "`-np 8 -kvu -c 16384`.",
    "4b": "A GGUF of Qwen3-4B's shapes in Q4_K_M with random weights: its answers are noise, its speed is not. "
    "Drafting is off, since noise that repeats itself would flatter it. llama-server: `-np 4 -kvu -c 8192`. "
    "Tuned for prefill: `model.repack: false`; for decode: `model.repack: true`, `model.kv_cache_type: q8_0`.",
    "restart": "A system prompt of 700 tokens pinned by `POST /prefixes`, edge-agent restarted, then the first "
    "question; against the first question of the same start without it. SmolLM2.",
    "cost": "CPU time of the agent's process, and of the engine outside its steps, for a token, by a decode step of "
    "the 4B shape.",
    "memory": "The 4B shape in a control group of 3,500 MiB without swap: context 4096, two sequences, `q8_0`, "
    "`micro_batch_tokens: 128`, `repack: false`, a prompt of 2,000 tokens. Private memory of both processes at its "
    "highest, mapped weights left out.",
}

WORKLOADS = """\
## The workloads

- **distinctN**: N users at once, nothing in common, prompts of about 130 tokens, 64 tokens each.
- **sharedN**: N users at once behind one new system prompt of about 700 tokens, 32 tokens each.
- **turns**: a conversation of six turns behind such a prompt, from cold; **turns-warm**: another one behind the same.
- **intrude**: three users are being answered when a prompt of about 600 tokens comes in.
- **copy**: a list is to be written again, 256 tokens; **loop**: an answer that repeats itself, 256 tokens.

Temperature 0, every answer to its full length.
"""


def markdown(results: Sequence[SuiteResult]) -> str:
    """The whole report."""
    goals = [(result.suite, row) for result in results for row in result.rows if row.goal is not None]
    num_met = sum(row.is_met for _, row in goals)
    parts = [PREFACE, f"## Goals: {num_met} of {len(goals)} met\n", goals_table(goals), WORKLOADS]
    for result in results:
        parts += [f"## {result.suite}\n", _circumstances(result), figures_table(result.rows)]
    return "\n".join(parts)


def goals_table(goals: Sequence[tuple[str, Row]]) -> str:
    """One line a goal."""
    lines = [
        "| suite | work | figure | against | theirs | ours | ratio | goal | |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {suite} | {row.work} | {row.figure.value} | {row.against} | {row.theirs:.3g} | {row.ours:.3g} "
        f"| {ratio_text(row)} | {goal_text(row)} | {'met' if row.is_met else '**not met**'} |"
        for suite, row in goals
    ]
    return "\n".join(lines) + "\n"


def figures_table(rows: Sequence[Row]) -> str:
    """One line a figure."""
    lines = ["| work | figure | against | theirs | ours | ratio |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {row.work} | {row.figure.value} | {row.against} | {row.theirs:.3g} | {row.ours:.3g} | {ratio_text(row)} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def ratio_text(row: Row) -> str:
    """Two digits that count: 1.03, 0.14, 0.0082."""
    return f"{row.ratio:.2f}" if row.ratio >= 0.1 else f"{row.ratio:.2g}"


def goal_text(row: Row) -> str:
    """The bound, and on which side of it is good; empty without a goal."""
    if row.goal is None:
        return ""
    return f"{'≥' if row.figure.is_more_better else '≤'} {row.goal:g}"


def _circumstances(result: SuiteResult) -> str:
    settings = ", ".join(f"`{key}: {value}`" for key, value in result.settings.items())
    return (
        f"{ABOUT[result.suite]}\n\n{result.day}, {result.machine}, {result.num_threads} threads, "
        f"rounds: {result.num_rounds}, llama-cpp-python {result.llama_cpp_python}."
        f"{f' Further settings of edge-agent: {settings}.' if settings else ''}\n"
    )
