"""Stacks rebuilt from single frames equal the stacks that ALE showed."""

import numpy as np
import pytest
import torch

from actors.envs.ale import AleVectorEnv
from rl_platform.core.frames import stack_frames

STEPS, STACK = 520, 4
SEEDS = np.array([5, 6, 7, 8], dtype=np.int32)


def play(env: AleVectorEnv) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Observations [T+1, N, S, H, W], is_first [T+1, N] and life losses [T, N] of random play."""
    actions = np.random.default_rng(1).integers(0, env.spec.action.size, (STEPS, env.num_envs))
    observations, is_first, life_losses = [env.reset()], [np.ones(env.num_envs, dtype=bool)], []
    for action in actions:
        result = env.step(action)
        observations.append(result.observation)
        is_first.append(result.is_first)
        life_losses.append(result.terminated & ~result.episode_end)
    return np.stack(observations), np.stack(is_first), np.stack(life_losses)


@pytest.mark.parametrize(
    ("game", "max_episode_frames", "has_lives"),
    [("pong", 900, False), ("breakout", 108_000, True), ("montezuma_revenge", 1200, True)],
)
def test_stacks_are_rebuilt_exactly(game, max_episode_frames, has_lives):
    env = AleVectorEnv(game=game, seeds=SEEDS, life_loss_terminates=True, max_episode_frames=max_episode_frames)
    observations, is_first, life_losses = play(env)
    env.close()
    assert is_first[1:].any(), "too short: a reset must be among the steps"
    assert life_losses.any() == has_lives
    for start in (0, 37):  # an unroll that begins with an episode, and one that begins inside one
        history = observations[start, :, :-1].swapaxes(0, 1)
        frames = np.concatenate([history, observations[start:, :, -1]])
        rebuilt = stack_frames(torch.from_numpy(frames), torch.from_numpy(is_first[start:]), STACK)
        np.testing.assert_array_equal(rebuilt.numpy(), observations[start:])
