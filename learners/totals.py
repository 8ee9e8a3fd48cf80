"""What the ranks add up before a backward pass: one small vector, exact in float64."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from learners.ranks import Ranks


class Tallies(NamedTuple):
    """What an objective must know of every rank's sample; each [] float64."""

    steps: Tensor
    """Steps that are learned from (valid and relevant): the count of most loss terms."""
    replayed: Tensor
    """Those of replayed columns."""
    offered: Tensor
    """Valid steps, relevant or not."""
    offered_replayed: Tensor
    """Those of replayed columns."""
    advantages: Tensor
    """Σ A over the steps that are learned from."""
    squared_advantages: Tensor
    """Σ A² over them."""
    intrinsic: Tensor
    """Steps from which values of bonuses learn; 0 without bonuses."""
    distilled: Tensor
    """Observations that the bonuses' predictor learns from."""


class Totals(NamedTuple):
    """Sums over the ranks, still on the device."""

    tallies: Tallies
    counts: Tensor
    """[K] float64."""


def sum_totals(ranks: Ranks, tallies: Tallies | None, counts: Sequence[float], *, device: torch.device) -> Totals:
    """Add up what every rank tallied, zeros for one without a sample (None), and K counts that go along."""
    own = torch.tensor(counts, dtype=torch.float64, device=device)
    tallied = own.new_zeros(len(Tallies._fields)) if tallies is None else torch.stack(tallies)
    sums = torch.cat([tallied, own])
    ranks.sum(sums)
    tallied, counted = sums.split([len(tallied), len(own)])
    return Totals(Tallies(*tallied.unbind()), counted)
