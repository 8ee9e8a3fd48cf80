"""Preallocated storage of one unroll, written a time step at a time."""

import numpy as np

from rl_platform.core.interfaces import PolicyStep, StepResult
from rl_platform.core.spec import EnvSpec
from rl_platform.core.types import Trajectory


class UnrollBuilder:
    """Arrays for T steps of N environments; `begin`, then T times `add`, then `trajectory` holds the unroll.

    Only the newest frame of each stack is kept, after the S−1 older frames of the first one (`core.frames` rebuilds
    the stacks).
    """

    def __init__(self, spec: EnvSpec, *, unroll_length: int, num_envs: int, num_params: int, num_values: int,
                 num_features: int, memory_size: int, task: np.ndarray):  # fmt: skip
        steps, envs, actions = unroll_length, num_envs, (num_envs, *spec.action.shape)
        self._stack = spec.frame_stack
        self.trajectory = Trajectory(
            observation=np.zeros((steps + spec.frame_stack, envs, *spec.frame_shape), spec.observation_dtype),
            is_first=np.zeros((steps + 1, envs), bool),
            action=np.zeros((steps, *actions), spec.action.dtype),
            reward=np.zeros((steps, envs), np.float32),
            terminated=np.zeros((steps, envs), bool),
            truncated=np.zeros((steps, envs), bool),
            valid=np.zeros((steps, envs), bool),
            behaviour=np.zeros((steps, envs, num_params), np.float32),
            value=np.zeros((steps, envs, num_values), np.float32),
            features=np.zeros((steps, envs, num_features), np.float16),
            memory=np.zeros((envs, memory_size), np.float32),
            previous_action=np.zeros(actions, spec.action.dtype),
            previous_reward=np.zeros(envs, np.float32),
            task=task,
        )
        self._next_action = np.zeros(actions, spec.action.dtype)
        self._next_reward = np.zeros(envs, np.float32)

    def begin(self, observation: np.ndarray, is_first: np.ndarray, memory: np.ndarray) -> None:
        """Start an unroll at `observation` [N, …], with the memory state [N, M] before it."""
        rows = self.trajectory
        if self._stack > 1:
            rows.observation[: self._stack] = observation.swapaxes(0, 1)
        else:
            rows.observation[0] = observation
        rows.is_first[0] = is_first
        rows.memory[:] = memory
        rows.previous_action[:] = self._next_action
        rows.previous_action[is_first] = 0
        rows.previous_reward[:] = np.where(is_first, 0.0, self._next_reward)

    def add(self, time: int, choice: PolicyStep, step: StepResult) -> None:
        """Write the transition at `time`: what was chosen, and what came of it."""
        rows = self.trajectory
        rows.action[time], rows.behaviour[time], rows.value[time] = choice.action, choice.behaviour, choice.value
        rows.features[time] = choice.features
        rows.reward[time], rows.valid[time] = step.reward, step.valid
        rows.terminated[time], rows.truncated[time] = step.terminated, step.truncated
        rows.is_first[time + 1] = step.is_first
        rows.observation[self._stack + time] = step.observation[:, -1] if self._stack > 1 else step.observation
        self._next_action, self._next_reward = choice.action, step.reward
