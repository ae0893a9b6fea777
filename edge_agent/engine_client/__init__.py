"""The engine process seen from the agent: spawned, watched, restarted, asked."""
