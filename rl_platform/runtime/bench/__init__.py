"""`rl-platform bench`: what a run costs, stage by stage, beside what the same work costs written plainly."""
