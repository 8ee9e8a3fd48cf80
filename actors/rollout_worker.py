"""The rollout worker: environment steps in, unrolls out. Plain Python; knows nothing of where it runs."""

import time

import numpy as np

from actors.episodes import EpisodeStatistics
from actors.rooms import RoomWatch
from actors.unroll_builder import UnrollBuilder
from rl_platform.core.interfaces import Policy, StepResult, VectorEnv
from rl_platform.core.types import Episode, Origin, RolloutInfo, Unroll, Weights


class RolloutWorker:
    """Steps N environments with one policy, and keeps their state between unrolls.

    Weights change between unrolls, never within one.
    """

    def __init__(self, env: VectorEnv, policy: Policy, *, unroll_length: int, num_params: int, num_values: int,
                 num_features: int = 0, actor: int, incarnation: int, task: np.ndarray):  # fmt: skip
        self._env = env
        self._policy = policy
        self._length = unroll_length
        self._actor, self._incarnation = actor, incarnation
        self._sequence = 0
        self._episodes = EpisodeStatistics(env.num_envs, task)
        self._memory = policy.initial_memory(env.num_envs)
        self._builder = UnrollBuilder(env.spec, unroll_length=unroll_length, num_envs=env.num_envs,
                                      num_params=num_params, num_values=num_values, num_features=num_features,
                                      memory_size=self._memory.shape[1], task=task)  # fmt: skip
        self._observation = env.reset()
        self._is_first = np.ones(env.num_envs, bool)
        self._env_call_began: float | None = None
        self._rooms: RoomWatch | None = None

    def collect(self, weights: Weights) -> tuple[Unroll, RolloutInfo]:
        """Play one unroll with `weights`. The unroll's arrays are overwritten by the next call."""
        self._policy.load(weights)
        self._builder.begin(self._observation, self._is_first, self._memory)
        episodes: list[Episode] = []
        faults: list[str] = []
        env_s = inference_s = 0.0
        clock = time.perf_counter()
        for step_index in range(self._length):
            choice = self._policy.act(self._observation, self._is_first, self._memory)
            acted = time.perf_counter()
            step = self._step(choice.action)
            stepped = time.perf_counter()
            self._builder.add(step_index, choice, step)
            self._observation, self._is_first, self._memory = step.observation, step.is_first, choice.memory
            episodes += self._episodes.add(step)
            if step.room is not None:
                self._watch_rooms(step)
            faults += step.faults
            inference_s, env_s, clock = inference_s + acted - clock, env_s + stepped - acted, stepped
        return self._finished(weights.version, tuple(episodes), tuple(faults), env_s, inference_s)

    def _step(self, action: np.ndarray) -> StepResult:
        self._env_call_began = time.monotonic()
        step = self._env.step(action)
        self._env_call_began = None
        return step

    def _watch_rooms(self, step: StepResult) -> None:
        if self._rooms is None:
            self._rooms = RoomWatch(self._env.spec, self._env.num_envs)
        self._rooms.add(step)

    def _finished(self, version: int, episodes: tuple[Episode, ...], faults: tuple[str, ...], env_s: float,
                  inference_s: float) -> tuple[Unroll, RolloutInfo]:  # fmt: skip
        origin = Origin(self._actor, self._incarnation, self._sequence, version)
        self._sequence += 1
        trajectory = self._builder.trajectory
        rooms = None if self._rooms is None else self._rooms.take()
        info = RolloutInfo(origin, int(trajectory.valid.sum()), episodes, faults, env_s, inference_s, rooms)
        return Unroll(trajectory, origin), info

    def stuck(self) -> tuple[float, str]:
        """Seconds that the present environment call has taken (0 outside one), and what it steps. Thread-safe."""
        began = self._env_call_began
        return (0.0 if began is None else time.monotonic() - began), self._env.where()

    def close(self) -> None:
        """Free the environments."""
        self._env.close()
