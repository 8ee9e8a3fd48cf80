"""Distributed actor-learner reinforcement learning in PyTorch, on Ray. Importing this package needs neither."""

from rl_platform._import_guard import verify_siblings

verify_siblings()
