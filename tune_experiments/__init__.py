"""Searches over experiments with Ray Tune: one file a question. `rl-platform tune NAME` runs one."""
