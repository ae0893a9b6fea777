"""How an engine process begins: tied to its agent, placed among the machine's processes, joined to two sockets."""

from __future__ import annotations

import argparse
import logging
import socket
from collections.abc import Callable

from edge_agent.engine.lifeline import ignore_terminal_signals, tie_to_parent
from edge_agent.engine.process import run_engine


def start_engine(*, prog: str, take_place: Callable[[], None]) -> int:
    """Run the engine on the sockets that the agent passed on; returns the exit status.

    `take_place` sets what the kernel gives this process, and when it takes it.
    """
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument("--commands-fd", type=int, required=True, help="socket of commands and their answers")
    parser.add_argument("--reports-fd", type=int, required=True, help="socket of the step loop's reports")
    arguments = parser.parse_args()
    tie_to_parent()
    ignore_terminal_signals()
    take_place()
    logging.basicConfig(format="%(levelname)s %(name)s %(message)s")
    with socket.socket(fileno=arguments.commands_fd) as commands, socket.socket(fileno=arguments.reports_fd) as reports:
        return run_engine(commands, reports)
