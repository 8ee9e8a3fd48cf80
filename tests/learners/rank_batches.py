"""Recorded batches, and how learner ranks share them."""

from typing import Literal

import numpy as np
import torch

from actors.policy import TorchPolicy
from actors.rollout_worker import RolloutWorker
from models.actor_critic import ActorCritic
from rl_platform.core.distributions import distribution_of
from rl_platform.core.flat import FlatParameters
from rl_platform.core.interfaces import VectorEnv
from rl_platform.core.types import Batch, Trajectory, Weights, axes_swapped

Situation = Literal["equal", "unequal", "starved"]
SITUATIONS: tuple[Situation, ...] = ("equal", "unequal", "starved")
Parts = tuple[Batch | None, Batch | None]


def record(env: VectorEnv, network: ActorCritic, *, unroll_length: int, num_batches: int) -> list[Batch]:
    """Consecutive unrolls of `env` under `network`, one batch each."""
    distribution = distribution_of(env.spec.action)
    policy = TorchPolicy(network, distribution, torch.Generator().manual_seed(1), precision=torch.float32)
    worker = RolloutWorker(env, policy, unroll_length=unroll_length, num_params=distribution.num_params, num_values=1,
                           actor=0, incarnation=0, task=np.zeros(env.num_envs, np.int32))  # fmt: skip
    weights = Weights(0, FlatParameters(network).numpy())
    return [_as_batch(worker.collect(weights)[0].steps, sequence) for sequence in range(num_batches)]


def _as_batch(steps: Trajectory, sequence: int) -> Batch:
    columns = Trajectory(*(array.copy() for array in axes_swapped(steps)))
    count = len(columns.valid)
    return Batch(
        columns,
        weight_version=np.zeros(count, np.int64),
        origin=np.stack(np.broadcast_arrays(0, 0, sequence, np.arange(count)), axis=1),
        online=np.ones(count, bool),
        env_steps=int(columns.valid.sum()),
        columns_dropped=1,
        uses=np.ones(count, np.int32),
        metrics={},
    )


def part(batch: Batch, columns: slice) -> Batch:
    """Some columns of a batch, and their env steps."""
    steps = Trajectory(*(array[columns] for array in batch.steps))
    return batch._replace(steps=steps, weight_version=batch.weight_version[columns], origin=batch.origin[columns],
                          online=batch.online[columns], uses=batch.uses[columns],
                          env_steps=int(steps.valid.sum()))  # fmt: skip


def half_replayed(batch: Batch) -> Batch:
    """With every other column said to come from a replay source, for the second time."""
    online = np.arange(len(batch.online)) % 2 == 0
    env_steps = int(batch.steps.valid[online].sum())
    return batch._replace(online=online, uses=np.where(online, 1, 2).astype(np.int32), env_steps=env_steps)


def invalid(batch: Batch, *, after: int) -> Batch:
    """Without the transitions from time `after` on."""
    valid = batch.steps.valid.copy()
    valid[:, after:] = False
    return batch._replace(steps=batch.steps._replace(valid=valid), env_steps=int(valid.sum()))


def joined(parts: Parts) -> Batch:
    """The columns of both ranks in one batch."""
    present = [batch for batch in parts if batch is not None]
    steps = Trajectory(*(np.concatenate(arrays) for arrays in zip(*(batch.steps for batch in present), strict=True)))
    return present[0]._replace(
        steps=steps,
        weight_version=np.concatenate([batch.weight_version for batch in present]),
        origin=np.concatenate([batch.origin for batch in present]),
        online=np.concatenate([batch.online for batch in present]),
        uses=np.concatenate([batch.uses for batch in present]),
        env_steps=sum(batch.env_steps for batch in present),
    )


def shared(recorded: list[Batch], situation: Situation, updates: int) -> list[Parts]:
    """What each of two ranks gets in each update, going round the recorded batches."""
    parts = [_divided(batch, situation, turn) for turn, batch in enumerate(recorded)]
    return [parts[update % len(parts)] for update in range(updates)]


def _divided(batch: Batch, situation: Situation, turn: int) -> Parts:
    """In halves; or few columns against many with few valid transitions; or with no batch for one, then the other."""
    middle = len(batch.online) // 2
    if situation == "unequal":
        return part(batch, slice(middle - 1)), invalid(part(batch, slice(middle - 1, None)), after=2)
    left, right = part(batch, slice(middle)), part(batch, slice(middle, None))
    return ((left, right), (None, right), (left, None))[turn % 3 if situation == "starved" else 0]
