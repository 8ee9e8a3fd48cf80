"""The interfaces, on one page. Implementations live in their packages and meet only in `rl_platform.runtime.build`.

env step → unroll            RolloutWorker(VectorEnv, Policy).collect(weights) → (Unroll, RolloutInfo)
unrolls → batch              ReplayShard.insert(unroll); .next_batch(version) → Batch
batch → loss → weights       Learner.update(batch) → UpdateInfo; .weights() → Weights
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from rl_platform.core.spec import EnvSpec
from rl_platform.core.types import Batch, RolloutInfo, ShardStatus, Unroll, UpdateInfo, Weights


class StepResult(NamedTuple):
    """One step of N environments. Arrays belong to the environment and may be reused by its next call."""

    observation: np.ndarray
    """[N, …] what the model sees next (frames stacked)."""
    reward: np.ndarray
    """[N] float32, raw."""
    terminated: np.ndarray
    """[N] bool."""
    truncated: np.ndarray
    """[N] bool."""
    valid: np.ndarray
    """[N] bool: False where this call only reset the environment, or the environment crashed."""
    is_first: np.ndarray
    """[N] bool: `observation` starts an episode."""
    episode_end: np.ndarray
    """[N] bool: this transition ended a whole game (a life loss alone does not)."""
    faults: Sequence[str] = ()
    """One line for each environment that raised and was replaced in this call."""
    room: np.ndarray | None = None
    """[N] int64: where in its world the player is after the step; None: the environment tells no rooms."""


class VectorEnv(Protocol):
    """N copies of an environment stepped together, with next-step resets.

    The step after an episode's last one ignores the action, resets, and is reported `valid=False`; its observation
    `is_first`. So the observation of the last step is the episode's true last one.
    """

    spec: EnvSpec
    num_envs: int

    def reset(self) -> np.ndarray:
        """Start every environment; returns observations [N, …], all of them first ones."""

    def step(self, action: np.ndarray) -> StepResult:
        """Apply actions [N] or [N, A]."""

    def where(self) -> str:
        """What is being stepped right now, for a message about a hang (callable from another thread)."""

    def close(self) -> None:
        """Free what the environments hold."""


class PolicyStep(NamedTuple):
    """Actions for N environments and what the learner needs to know about how they were drawn."""

    action: np.ndarray
    """[N] int64, or [N, A] float32."""
    behaviour: np.ndarray
    """[N, P] float32."""
    value: np.ndarray
    """[N, H] float32."""
    features: np.ndarray
    """[N, F] float16."""
    memory: np.ndarray
    """[N, M] float32, after this step."""


class Policy(Protocol):
    """Chooses actions for a batch of observations under a given version of the weights."""

    version: int

    def load(self, weights: Weights) -> None:
        """Take over new weights (does nothing when the version is the present one)."""

    def initial_memory(self, num_envs: int) -> np.ndarray:
        """[N, M] float32."""

    def act(
        self, observation: np.ndarray, is_first: np.ndarray, memory: np.ndarray, greedy: bool = False
    ) -> PolicyStep:
        """observation [N, …], is_first [N], memory [N, M]; memory restarts where `is_first`."""


class Worker(Protocol):
    """Turns environment steps into unrolls."""

    def collect(self, weights: Weights) -> tuple[Unroll, RolloutInfo]: ...

    def stuck(self) -> tuple[float, str]:
        """Seconds that the present environment call has taken (0 outside one), and what it steps. Thread-safe."""


class Shard(Protocol):
    """Turns unrolls into batches."""

    def insert(self, unroll: Unroll) -> ShardStatus: ...

    def next_batch(self, learner_version: int, weights: Weights | None = None) -> Batch | None:
        """A batch for that version; None if too little waits. `weights`: the newest known, for sources that score."""

    def status(self) -> ShardStatus: ...


class LearnerRole(Protocol):
    """Turns batches into weights."""

    def update(self, batch: Batch | None) -> UpdateInfo:
        """One update; None: this rank has no batch, and takes part in the others' with zeros."""

    def weights(self) -> Weights: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...
