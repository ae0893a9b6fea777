"""Start of the engine process: `python -m edge_agent.engine --commands-fd N --reports-fd N`, run by the agent alone."""

from __future__ import annotations

import sys

from edge_agent.engine.lifeline import be_killed_first
from edge_agent.engine.start import start_engine

if __name__ == "__main__":
    sys.exit(start_engine(prog="edge_agent.engine", take_place=be_killed_first))
