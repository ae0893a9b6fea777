"""What the agent process counts, times and says about itself and its engine."""
