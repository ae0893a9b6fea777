"""`make bench`: edge-agent and others on the same work in turn, as a table of ratios beside goals, and a picture.

Each suite writes its figures into a file of its own; the report is made anew of all that are there.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import os
import signal
import subprocess
import sys
from pathlib import Path

import yaml

from edge_agent.config_example import known_keys
from edge_agent.config_file import load_config, state_dir

from .bar_chart import bar_chart
from .bench_run import SUITES, BenchRun, minutes
from .comparison import Row
from .load import BenchError
from .model_files import ModelFiles
from .report import figures_table, goals_table, markdown
from .results import SuiteResult, machine, read_results, write_result
from .suites import PARTS

PROJECT = Path(__file__).parents[2]
WORKLOADS = tuple(dict.fromkeys(name for parts in PARTS.values() for part in parts for name in part.workloads))


def main() -> int:
    """Measure, print, write. 1 when a suite could not be measured."""
    options = _options()
    # As for Ctrl-C: no server is left behind.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    run = BenchRun(
        files=ModelFiles(store=_model_folder(), cache=options.cache), cache=options.cache, environ=os.environ,
        num_threads=options.threads, num_rounds=options.rounds, settings=dict(options.set), say=_say,
    )  # fmt: skip
    _say(f"{', '.join(options.suite)}: about {minutes(options.suite, num_rounds=options.rounds):.0f} minutes")
    num_failed = 0
    for suite in options.suite:
        try:
            _measure(run, suite, options)
        except (BenchError, subprocess.CalledProcessError) as error:
            num_failed += 1
            _say(f"{suite}: {error}")
    return 1 if num_failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--suite", action="append", choices=SUITES, help="may be repeated; default: all")
    parser.add_argument(
        "--work", nargs="*", choices=WORKLOADS, default=[], help="only these workloads; prints, and writes nothing"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--set", action="append", default=[], type=_setting, metavar="KEY=VALUE", help="a setting of edge-agent"
    )
    parser.add_argument("--cache", type=Path, default=PROJECT / ".cache" / "bench")
    parser.add_argument("--out", type=Path, default=PROJECT / "docs" / "bench")
    options = parser.parse_args()
    options.suite = options.suite or list(SUITES)
    return options


def _model_folder() -> Path:
    """Where `edge-agent models pull` puts a file."""
    config = load_config(file=None, environ=os.environ, overrides={})
    return Path(config.models.dir) if config.models.dir else state_dir(config, os.environ) / "models"


def _setting(text: str) -> tuple[str, object]:
    key, _, value = text.partition("=")
    if key not in known_keys():
        raise argparse.ArgumentTypeError(f"no such key {key}; edge-agent config example lists all keys")
    return key, yaml.safe_load(value)


def _measure(run: BenchRun, suite: str, options: argparse.Namespace) -> None:
    rows = run.rows(suite, options.work)
    _say(f"\n{suite}\n{figures_table(rows)}\n{goals_table([(suite, row) for row in rows if row.goal is not None])}")
    if options.work:
        return
    write_result(options.out, _result(run, suite, rows))
    results = read_results(options.out, SUITES)
    (options.out / "comparison.md").write_text(markdown(results), encoding="utf-8")
    (options.out / "comparison.svg").write_text(bar_chart(results), encoding="utf-8")


def _result(run: BenchRun, suite: str, rows: list[Row]) -> SuiteResult:
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    return SuiteResult(
        suite=suite,
        day=datetime.datetime.now(datetime.UTC).date().isoformat(),
        machine=machine(cpuinfo, num_cpus=os.cpu_count() or 1),
        num_threads=run.num_threads,
        num_rounds=run.num_rounds,
        llama_cpp_python=importlib.metadata.version("llama-cpp-python"),
        settings=dict(run.settings),
        rows=rows,
    )


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
