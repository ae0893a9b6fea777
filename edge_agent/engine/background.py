"""The engine that only measures: `python -m edge_agent.engine.background --commands-fd N --reports-fd N`.

The same engine as the one that serves, behind all other work of the machine: it computes when nothing else wants to,
and goes first when memory ends. Its main thread runs this.
"""

from __future__ import annotations

import argparse
import logging
import socket
import sys

from edge_agent.engine.lifeline import ignore_terminal_signals, tie_to_parent
from edge_agent.engine.priority import give_way
from edge_agent.engine.process import run_engine


def main() -> int:
    """Run the engine on the sockets that the agent passed on; returns the exit status."""
    parser = argparse.ArgumentParser(prog="edge_agent.engine.background", description=__doc__)
    parser.add_argument("--commands-fd", type=int, required=True, help="socket of commands and their answers")
    parser.add_argument("--reports-fd", type=int, required=True, help="socket of the step loop's reports")
    arguments = parser.parse_args()
    tie_to_parent()
    ignore_terminal_signals()
    give_way()
    logging.basicConfig(format="%(levelname)s %(name)s %(message)s")
    with socket.socket(fileno=arguments.commands_fd) as commands, socket.socket(fileno=arguments.reports_fd) as reports:
        return run_engine(commands, reports)


if __name__ == "__main__":
    sys.exit(main())
