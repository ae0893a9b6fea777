"""What this board does with this model: speeds out of the engine's own reports, memory and its bandwidth, heat."""
