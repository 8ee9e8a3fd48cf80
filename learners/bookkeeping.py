"""What the ranks count of their batches: env steps, ages of columns, reuse."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from learners.ranks import Ranks
from rl_platform.core.types import Batch


class Bookkeeping(NamedTuple):
    """What is only counted, over every rank's new batch."""

    env_steps: int
    """To be committed with this update."""
    metrics: dict[str, float]
    """Ages of columns, in versions between the weights that acted and those that learn, and reuse."""
    observations: np.ndarray
    """What `learners.moments` sums up; empty where it does not."""


def bookkeeping_counts(ranks: Ranks, batch: Batch | None, observations: np.ndarray, *, version: int) -> list[float]:
    """This rank's part of what `read_bookkeeping` reads; zeros if it has no batch (None)."""
    own = [0] * (_NUM_COUNTS + 2 * ranks.count) if batch is None else _counts(ranks, batch, version)
    return [*own, *observations.tolist()]


def read_bookkeeping(ranks: Ranks, counts: Sequence[float]) -> Bookkeeping:
    """From every rank's `bookkeeping_counts`, added up."""
    env_steps, online, lag_sum, replayed, age_sum, uses_sum = counts[:_NUM_COUNTS]
    lags, ages, observations = np.split(np.array(counts[_NUM_COUNTS:]), [ranks.count, 2 * ranks.count])
    metrics = {}
    if online:
        metrics |= {"policy_lag_mean": lag_sum / online, "policy_lag_max": float(lags.max())}
    if replayed:
        metrics |= {"replay_age_mean": age_sum / replayed, "replay_age_max": float(ages.max())}
        metrics |= {"reuse_mean": uses_sum / replayed, "online_share": online / (online + replayed)}
    return Bookkeeping(int(env_steps), metrics, observations)


def column_histograms(batch: Batch, version: int) -> dict[str, np.ndarray]:
    """Versions between the weights that acted and `version`, of online and replayed columns, and the uses of these."""
    lags, replayed = version - batch.weight_version, ~batch.online
    # After `--resume` the contents of replay may be some updates newer than the learner's state.
    ages = np.maximum(lags[replayed], 0)
    return {"policy_lag": lags[batch.online], "replay_age": ages, "reuse": batch.uses[replayed]}


_NUM_COUNTS = 6


def _counts(ranks: Ranks, batch: Batch, version: int) -> list[int]:
    """Env steps; online columns and the sum of their lags; replayed columns and the sums of their ages and uses.

    Then the largest lag of each rank and the largest age of each, in a place of its own, where sums keep it.
    """
    lags, ages, uses = column_histograms(batch, version).values()
    largest = np.zeros((2, ranks.count), np.int64)
    largest[:, ranks.index] = lags.max(initial=0), ages.max(initial=0)
    sums = [batch.env_steps, len(lags), lags.sum(), len(ages), ages.sum(), uses.sum()]
    return [*map(int, sums), *largest.ravel().tolist()]
