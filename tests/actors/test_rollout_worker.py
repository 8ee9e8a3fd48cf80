"""Unrolls hold exactly what the environments showed and what the policy did."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from actors.envs.ale import AleVectorEnv
from actors.envs.gymnasium_env import GymnasiumVectorEnv
from actors.rollout_worker import RolloutWorker
from actors.uniform_policy import UniformPolicy
from rl_platform.core.distributions import distribution_of
from rl_platform.core.frames import stack_frames
from rl_platform.core.types import Weights

WEIGHTS = Weights(3, np.zeros(0, np.float32))
CONTROL = {"cartpole": "CartPole-v1", "pendulum": "Pendulum-v1"}


def make_env(name: str, num_envs: int):
    seeds = np.arange(num_envs, dtype=np.int32)
    if name in CONTROL:
        return GymnasiumVectorEnv(env_id=CONTROL[name], seeds=seeds, max_episode_steps=25)
    return AleVectorEnv(game=name, seeds=seeds, life_loss_terminates=name == "breakout", max_episode_frames=1200)


def make_worker(name: str, *, num_envs: int, unroll_length: int) -> RolloutWorker:
    env = make_env(name, num_envs)
    return RolloutWorker(env, UniformPolicy(env.spec.action, seed=5), unroll_length=unroll_length,
                         num_params=distribution_of(env.spec.action).num_params, num_values=1, actor=4, incarnation=2,
                         task=np.zeros(num_envs, np.int32))  # fmt: skip


def collected(name: str, *, num_envs: int, unroll_length: int, unrolls: int):
    """Several unrolls' trajectories, copied, and their infos."""
    worker = make_worker(name, num_envs=num_envs, unroll_length=unroll_length)
    results = []
    for _ in range(unrolls):
        unroll, info = worker.collect(WEIGHTS)
        results.append((type(unroll.steps)(*(array.copy() for array in unroll.steps)), info))
    worker.close()
    return results


@pytest.mark.parametrize("name", ["cartpole", "pendulum", "breakout"])
def test_unrolls_equal_a_plain_loop_over_the_same_environments(name):
    """The same seeds and actions, stepped without any of our storage."""
    results = collected(name, num_envs=3, unroll_length=16, unrolls=20)
    env = make_env(name, 3)
    policy = UniformPolicy(env.spec.action, seed=5)
    observation, is_first = env.reset(), np.ones(3, bool)
    stack = env.spec.frame_stack
    for steps, _ in results:
        shown = steps.observation
        if stack > 1:
            shown = stack_frames(torch.from_numpy(shown), torch.from_numpy(steps.is_first), stack).numpy()
        for time in range(16):
            np.testing.assert_array_equal(shown[time], observation)
            np.testing.assert_array_equal(steps.is_first[time], is_first)
            action = policy.act(observation, is_first, np.zeros((3, 0), np.float32)).action
            result = env.step(action)
            for name_, expected in [("action", action), ("reward", result.reward), ("terminated", result.terminated),
                                    ("truncated", result.truncated), ("valid", result.valid)]:  # fmt: skip
                np.testing.assert_array_equal(getattr(steps, name_)[time], expected, err_msg=name_)
            observation, is_first = result.observation, result.is_first
        np.testing.assert_array_equal(shown[16], observation)
    assert any(steps.is_first[1:].any() for steps, _ in results), "the test needs resets"


@pytest.mark.parametrize("name", ["cartpole", "pendulum"])
def test_unrolls_follow_each_other_without_a_gap(name):
    results = collected(name, num_envs=4, unroll_length=8, unrolls=40)
    for (before, info), (after, next_info) in itertools.pairwise(results):
        np.testing.assert_array_equal(before.observation[-1], after.observation[0])
        np.testing.assert_array_equal(before.is_first[-1], after.is_first[0])
        fresh = after.is_first[0]
        np.testing.assert_array_equal(after.previous_action[fresh], 0)
        np.testing.assert_array_equal(after.previous_action[~fresh], before.action[-1][~fresh])
        np.testing.assert_array_equal(after.previous_reward, np.where(fresh, 0, before.reward[-1]))
        assert next_info.origin == info.origin._replace(sequence=info.origin.sequence + 1)
    assert results[0][1].origin == (4, 2, 0, 3)
    assert any(steps.is_first[0].any() for steps, _ in results[1:]), "the test needs unrolls that begin with an episode"


def test_env_steps_are_the_valid_transitions_and_episodes_add_up():
    results = collected("cartpole", num_envs=4, unroll_length=50, unrolls=10)
    assert sum(info.env_steps for _, info in results) == sum(int(steps.valid.sum()) for steps, _ in results)
    episodes = [episode for _, info in results for episode in info.episodes]
    ends = sum(int((steps.terminated | steps.truncated).sum()) for steps, _ in results)
    assert len(episodes) == ends > 20
    assert all(episode.episode_return == episode.length <= 25 for episode in episodes)  # CartPole pays 1 a step


def test_whole_game_returns_ignore_life_losses():
    results = collected("breakout", num_envs=4, unroll_length=100, unrolls=10)
    losses = sum(int(steps.terminated.sum()) for steps, _ in results)
    episodes = [episode for _, info in results for episode in info.episodes]
    assert losses > len(episodes) > 0
    earned = sum(float(steps.reward.sum()) for steps, _ in results)
    assert 0 < sum(episode.episode_return for episode in episodes) <= earned


def test_timings_are_reported_and_outside_a_call_nothing_is_stuck():
    worker = make_worker("cartpole", num_envs=2, unroll_length=8)
    _, info = worker.collect(WEIGHTS)
    assert info.env_s > 0
    assert info.inference_s > 0
    seconds, where = worker.stuck()
    assert seconds == 0
    assert "CartPole-v1" in where


def test_unrolls_hold_the_numbers_that_were_drawn():
    """Not what the environment made of them: its reward depends on the clipped torque, the density on the drawn one."""
    env = make_env("pendulum", 4)
    beyond = replace(env.spec.action, low=(-6.0,), high=(6.0,))
    worker = RolloutWorker(env, UniformPolicy(beyond, seed=5), unroll_length=20, num_params=2, num_values=1, actor=0,
                           incarnation=0, task=np.zeros(4, np.int32))  # fmt: skip
    unroll, _ = worker.collect(WEIGHTS)
    action = unroll.steps.action
    assert (action.shape, action.dtype, unroll.steps.behaviour.shape) == ((20, 4, 1), np.float32, (20, 4, 2))
    assert np.abs(action).max() > 4 and env.spec.action.high == (2.0,)
    worker.close()
