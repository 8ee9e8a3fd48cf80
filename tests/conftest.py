"""What every test process and its children run under, set before torch or Ray is imported."""

import os
import secrets

# One thread a process: tests share few cores with the Ray actors that they start, and sums stay reproducible.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_worker_niceness", "0")  # with Ray's 15, actors get nothing beside another test that computes
if "RAY_AUTH_MODE" not in os.environ:
    # What a local Ray does by itself, but with a token of this run instead of one written to the home folder.
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
