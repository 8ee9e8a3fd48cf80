"""What every test process and its children run under, set before torch or Ray is imported."""

import os

# One thread a process: tests share few cores with the Ray actors that they start, and sums stay reproducible.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
