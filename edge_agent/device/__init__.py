"""The board: its sensors, read once a second by a thread of the agent process, and the state that they tell."""
