"""The HTTP API: from a client's bytes to requests for the engine, and back. Runs on the agent's event loop only."""
