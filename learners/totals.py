"""What the ranks add up before the backward pass: one small vector an update, exact in float64."""

from typing import NamedTuple

import torch
from torch import Tensor

from learners.ranks import Ranks
from rl_platform.core.types import Batch


class Tallies(NamedTuple):
    """What an objective must know of every rank's batch; each [] float64."""

    steps: Tensor
    """Valid transitions: the count of each loss term."""
    advantages: Tensor
    """Σ A over them."""
    squared_advantages: Tensor
    """Σ A² over them."""


class Totals(NamedTuple):
    """Sums over the ranks, still on the device."""

    bookkeeping: Tensor
    """[3 + ranks] float64, read by `Bookkeeping.of`."""
    tallies: Tallies


class Bookkeeping(NamedTuple):
    """What is only counted."""

    env_steps: int
    """To be committed with this update."""
    policy_lag: dict[str, float]
    """Metrics over every rank's columns: versions between the weights that acted and those that learn."""

    @classmethod
    def of(cls, sums: list[float]) -> "Bookkeeping":
        """From the numbers of `Totals.bookkeeping`."""
        env_steps, columns, lag_sum, *lag_max = sums
        lag = {"policy_lag_mean": lag_sum / columns, "policy_lag_max": max(lag_max)} if columns else {}
        return cls(int(env_steps), lag)


def sum_totals(ranks: Ranks, batch: Batch | None, tallies: Tallies | None, *, version: int,
               device: torch.device) -> Totals:  # fmt: skip
    """Add up what every rank's batch counts; a rank without one (None) adds zeros."""
    own = torch.tensor(_bookkeeping(ranks, batch, version), dtype=torch.float64, device=device)
    counted = own.new_zeros(len(Tallies._fields)) if tallies is None else torch.stack(tallies)
    sums = torch.cat([own, counted])
    ranks.sum(sums)
    bookkeeping, counted = sums.split([len(own), len(counted)])
    return Totals(bookkeeping, Tallies(*counted.unbind()))


def _bookkeeping(ranks: Ranks, batch: Batch | None, version: int) -> list[int]:
    """Env steps, columns, their lags' sum, and the largest of them in a place of this rank's own: sums keep it."""
    lag_max = [0] * ranks.count
    if batch is None:
        return [0, 0, 0, *lag_max]
    lags = version - batch.weight_version
    lag_max[ranks.index] = int(lags.max())
    return [batch.env_steps, len(lags), int(lags.sum()), *lag_max]
