"""What an update learns from, on the learner's device, and how it is cut into parts."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rl_platform.core.types import PER_COLUMN, Trajectory


class Bonuses(NamedTuple):
    """What exploration adds to a sample's T transitions."""

    rewards: Tensor
    """[T, B] float32, normalised, without gradient: at every transition, those that only reset included."""
    inputs: Tensor
    """[T, B, …] what the bonus of each is a function of, not normalised."""


class IntrinsicTargets(NamedTuple):
    """What the values of bonuses are trained towards; both [T, B], without gradient."""

    targets: Tensor
    valid: Tensor
    """Bool: steps that are learned from. Those that only reset are among them."""


class ReturnEstimates(NamedTuple):
    """What a policy and a value function are trained towards; all [T, B], without gradient."""

    targets: Tensor
    """Of the values; the value itself at steps that are not valid."""
    advantages: Tensor
    """0 at steps that are not valid."""
    valid: Tensor
    """Bool: the steps that are learned from, valid transitions that are relevant."""
    intrinsic: IntrinsicTargets | None = None
    """None: there are no bonuses. Advantages are of both streams."""


class Sample(NamedTuple):
    """Columns of one rank's batch, as tensors [T, B, …]."""

    steps: Trajectory
    """Observations as the network sees them: [T+1, B, …], or [T, B, …] if `returns` are there, like `is_first`."""
    replayed: Tensor
    """[B] bool."""
    returns: ReturnEstimates | None = None
    """Of the weights at the beginning of the update; None: those of the present weights are wanted."""
    bonuses: Bonuses | None = None


def in_columns(sample: Sample, max_rows: int) -> Iterator[Sample]:
    """The sample's columns in their order, as many at a time as have at most `max_rows` observations, at least one."""
    each = max(1, max_rows // len(sample.steps.observation))
    columns = torch.arange(len(sample.replayed), device=sample.replayed.device)
    for part in columns.split(each):
        yield sample if len(part) == len(columns) else select(sample, part)


def with_returns(sample: Sample, returns: ReturnEstimates) -> Sample:
    """The sample with these returns, and without the row that only bootstraps them."""
    num_steps = len(sample.steps.action)
    steps = {name: array if name in PER_COLUMN else array[:num_steps] for name, array in sample.steps._asdict().items()}
    return sample._replace(steps=Trajectory(**steps), returns=returns)


def as_transitions(sample: Sample) -> Sample:
    """Every transition of a sample with returns as a column of its own, T = 1: [T, B, …] becomes [1, T·B, …].

    For networks without memory alone: what belongs to a whole column is repeated, though it was so at time 0 only.
    """
    assert sample.returns is not None
    num_steps = len(sample.steps.action)
    steps = {
        name: torch.cat([array] * num_steps) if name in PER_COLUMN else _in_one_row(array)
        for name, array in sample.steps._asdict().items()
    }
    returns, bonuses = each_tensor(_in_one_row, sample.returns), each_tensor(_in_one_row, sample.bonuses)
    return Sample(Trajectory(**steps), sample.replayed.repeat(num_steps), returns, bonuses)


def _in_one_row(array: Tensor) -> Tensor:
    return array.flatten(0, 1).unsqueeze(0)


def select(sample: Sample, columns: Tensor) -> Sample:
    """These columns [K] of it. Indexing, unlike `index_select` and `narrow`, leaves images channels-last."""
    steps = {
        name: array[columns] if name in PER_COLUMN else array[:, columns]
        for name, array in sample.steps._asdict().items()
    }
    returns, bonuses = (each_tensor(lambda array: array[:, columns], part) for part in (sample.returns, sample.bonuses))
    return Sample(Trajectory(**steps), sample.replayed[columns], returns, bonuses)


def each_tensor(change: Callable[..., Tensor], *records: Any) -> Any:
    """A record as these are, which are alike: `change` gets each one's tensor of the same place; None stays."""
    first = records[0]
    if first is None or isinstance(first, Tensor):
        return None if first is None else change(*records)
    return type(first)(*(each_tensor(change, *parts) for parts in zip(*records, strict=True)))
