"""Stacks as an environment shows them are those that are rebuilt from single frames."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete

from actors.envs.frame_stack import FrameStacked
from actors.envs.python_env import PythonVectorEnv
from rl_platform.core.frames import stack_frames

SEEDS = np.array([3, 4], np.int32)


class Counting(gymnasium.Env):
    """Frames of one number that counts on from the seed · 10; an episode of environment `seed` has `seed` steps."""

    observation_space, action_space = Box(0, 255, (2, 2), np.uint8), Discrete(2)

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.length, self.count = seed, seed * 10
        self.steps = 0
        return self._frame(), {}

    def step(self, action):
        self.steps += 1
        return self._frame(), 0.0, self.steps == self.length, False, {}

    def _frame(self):
        self.count += 1
        return np.full((2, 2), self.count, np.uint8)


def make(frame_stack: int) -> FrameStacked:
    return FrameStacked(PythonVectorEnv(name="Counting", make=Counting, seeds=SEEDS), frame_stack)


def test_the_frames_before_an_episode_are_zero():
    env = make(3)
    assert env.reset()[0, :, 0, 0].tolist() == [0, 0, 31]
    shown = [env.step(np.zeros(2, np.int64)).observation[0, :, 0, 0].tolist() for _ in range(5)]
    assert shown == [[0, 31, 32], [31, 32, 33], [32, 33, 34], [0, 0, 35], [0, 35, 36]]


@pytest.mark.parametrize("frame_stack", [1, 2, 4])
def test_stacks_can_be_rebuilt_from_single_frames(frame_stack):
    env = make(frame_stack)
    stacks, firsts = [env.reset()], [np.ones(2, bool)]
    for _ in range(12):
        result = env.step(np.zeros(2, np.int64))
        stacks.append(result.observation)
        firsts.append(result.is_first)
    newest = np.stack([stack[:, -1] for stack in stacks])
    history = np.full((frame_stack - 1, *newest.shape[1:]), 99, np.uint8)
    rebuilt = stack_frames(
        torch.from_numpy(np.concatenate([history, newest])), torch.from_numpy(np.stack(firsts)), frame_stack
    )
    np.testing.assert_array_equal(rebuilt.numpy(), np.stack(stacks))


def test_the_spec_says_what_is_shown_and_what_is_stored():
    spec = make(4).spec
    assert (spec.observation_shape, spec.frame_shape, spec.frame_stack) == ((4, 2, 2), (2, 2), 4)
    assert make(1).spec.frame_shape == (1, 2, 2)


def test_a_stack_of_nothing_is_refused():
    with pytest.raises(ValueError, match="frame_stack must be at least 1, got 0"):
        make(0)
