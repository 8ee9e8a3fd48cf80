"""The records that travel: what rollout workers produce, what replay stores, what the learner consumes.

Shapes: T steps of an unroll, N environments of a worker, B columns of a batch, S stacked frames (1: no stacking),
A numbers of a continuous action, P distribution parameters, H value heads, M memory size (0: no memory), F features
(0: none are kept). A *column* is one environment's T steps.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from rl_platform.core.rooms import RoomLog


class Trajectory(NamedTuple):
    """T transitions of several environments, as NumPy arrays or, inside the learner, as tensors.

    Time-major in an `Unroll` ([T, N, …]) and on the learner's device ([T, B, …]); columns first in a `Batch`
    ([B, T, …]), so that one column is one block of memory. `reward[t]` is what `action[t]` earned, and
    `observation` at t is what `action[t]` was chosen from; the last observation only bootstraps.
    """

    observation: np.ndarray
    """[T+S, N, …]: single frames. Row S−1+t is the newest frame at time t; the S−1 rows before are its history."""
    is_first: np.ndarray
    """[T+1, N] bool: this observation starts an episode."""
    action: np.ndarray
    """[T, N] int64, or [T, N, A] float32 where actions are continuous."""
    reward: np.ndarray
    """[T, N] float32, raw (neither clipped nor scaled)."""
    terminated: np.ndarray
    """[T, N] bool: no future value after this transition (a life loss counts when the environment is told so)."""
    truncated: np.ndarray
    """[T, N] bool: the episode was cut here; the next observation is its true last one and still bootstraps."""
    valid: np.ndarray
    """[T, N] bool: False where the transition only reset the environment, or the environment crashed."""
    behaviour: np.ndarray
    """[T, N, P] float32: parameters of the distribution that the action was drawn from."""
    value: np.ndarray
    """[T, N, H] float32: the behaviour network's values."""
    features: np.ndarray
    """[T, N, F] float16: what the behaviour network saw, for replay sources that ask how much that has changed."""
    memory: np.ndarray
    """[N, M] float32: memory state before time 0."""
    previous_action: np.ndarray
    """[N] int64 or [N, A] float32: the action before time 0 (0 at an episode's start)."""
    previous_reward: np.ndarray
    """[N] float32: the raw reward before time 0 (0 at an episode's start)."""
    task: np.ndarray
    """[N] int32: index of the task in the configuration."""


PER_COLUMN = frozenset({"memory", "previous_action", "previous_reward", "task"})
"""Fields of a trajectory without a time axis."""


def axes_swapped(steps: Trajectory) -> Trajectory:
    """Time-major to columns first, or back; arrays are views."""
    return Trajectory(*(array if name in PER_COLUMN else array.swapaxes(0, 1)
                        for name, array in zip(Trajectory._fields, steps, strict=True)))  # fmt: skip


class Origin(NamedTuple):
    """Who made an unroll, and with which weights."""

    actor: int
    incarnation: int
    sequence: int
    weight_version: int


class Unroll(NamedTuple):
    """What one `RolloutWorker.collect` produced. Its arrays are reused by the next call: copy what must last."""

    steps: Trajectory
    origin: Origin


class Episode(NamedTuple):
    """One finished whole game: raw return, length in env steps, task index, and which of N environments played it."""

    episode_return: float
    length: int
    task: int
    env: int = 0
    rooms: tuple[int, ...] = ()
    """The rooms that were visited, in the order of their first visits; empty where the environment tells none."""


class RolloutInfo(NamedTuple):
    """The small half of a collect call, read by the feeder; the unroll itself never passes through it."""

    origin: Origin
    env_steps: int
    """Valid transitions in the unroll."""
    episodes: tuple[Episode, ...]
    faults: tuple[str, ...]
    """One line for each environment that raised and was replaced during this unroll."""
    env_s: float
    """Seconds spent stepping environments."""
    inference_s: float
    """Seconds spent choosing actions."""
    rooms: RoomLog | None = None
    """None where the environment tells no rooms."""


class Batch(NamedTuple):
    """B columns ready for one update, columns first ([B, T, …]), and the bookkeeping that goes with them."""

    steps: Trajectory
    weight_version: np.ndarray
    """[B] int64: the weights that acted in each column."""
    origin: np.ndarray
    """[B, 4] int64: actor, incarnation and sequence of each column's unroll, and which environment it is."""
    online: np.ndarray
    """[B] bool: True for columns of the on-policy queue, False for replayed ones."""
    env_steps: int
    """Valid transitions that reached this shard since the batch before; committed with this update."""
    columns_dropped: int
    """Columns dropped since the batch before: stale, or pushed out of a full queue."""
    uses: np.ndarray
    """[B] int32: how many batches a column has been in, this one included."""
    metrics: Mapping[str, float]
    """What the replay sources say of themselves."""


class ShardStatus(NamedTuple):
    """What a replay shard answers to an insert."""

    ready: int
    """Batches that could be taken now."""
    columns: int
    """Columns waiting in the queue."""
    capacity: int
    """Columns that the queue can hold."""
    batch_columns: int
    """Columns that the next batch will take from the queue."""
    env_steps: int = 0
    """Valid transitions that reached the shard since the last batch: not committed yet."""
    arrived: int = 0
    """Valid transitions that ever reached this shard."""


class Weights(NamedTuple):
    """All parameters of the acting network as one flat float32 vector."""

    version: int
    """Grows with each update. No two weights of a launch share one, even if a learner starts again from a snapshot."""
    vector: np.ndarray


class LearnerProgress(NamedTuple):
    """How far a learner has come."""

    version: int
    """Of its weights."""
    updates: int
    env_steps: int


class UpdateInfo(NamedTuple):
    """What the learner says of one update."""

    version: int
    """Of the weights that the update left."""
    updates: int
    """Updates attempted so far, this one included, since the run began; restoring a snapshot lowers it."""
    env_steps: int
    """Env steps committed so far, over all learner ranks; restoring a snapshot lowers them."""
    skipped: bool
    """The update was not finite and was not applied."""
    metrics: dict[str, float]
    columns_dropped: int = 0
    """Columns that the shard dropped since the update before."""
    had_batch: bool = True
    """This rank took part with a batch of its own."""
    histograms: Mapping[str, np.ndarray] = {}
    """Of this rank's columns: `policy_lag` of online ones, `replay_age` of replayed ones, in versions, and `reuse` of
    these: how many batches each has been in."""
