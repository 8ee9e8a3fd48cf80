"""Atari on the real emulator: whole-game scores, life losses, time limits, and what ale-py does at resets."""

import os
import time

import numpy as np
import pytest
from ale_py.vector_env import AtariVectorEnv

from actors.envs.ale import AleVectorEnv

SEEDS = np.array([3, 4], dtype=np.int32)


def random_actions(steps: int, size: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, size, (steps, len(SEEDS)))


def first_step_where(env: AleVectorEnv, actions: np.ndarray, field: str) -> int:
    """How many steps it takes until `field` is true in environment 0."""
    env.reset()
    for taken, action in enumerate(actions, start=1):
        if getattr(env.step(action), field)[0]:
            return taken
    raise AssertionError(f"no {field} in {len(actions)} steps")


def test_a_game_of_pong_ends_when_one_side_has_21_points():
    env = AleVectorEnv(game="pong", seeds=SEEDS)
    env.reset()
    points = np.zeros((2, 2))  # [who scored, environment]
    games = []
    for action in random_actions(1500, env.spec.action.size):
        result = env.step(action)
        points += [np.maximum(result.reward, 0), np.maximum(-result.reward, 0)]
        for index in np.flatnonzero(result.episode_end):
            assert result.terminated[index] and not result.truncated[index]
            games.append(points[:, index].copy())
            points[:, index] = 0
    env.close()
    assert len(games) >= 2
    for scores in games:
        assert scores.max() == 21 and -21 <= scores[0] - scores[1] <= 21


def test_rewards_are_raw_scores():
    env = AleVectorEnv(game="ms_pacman", seeds=SEEDS)
    env.reset()
    rewards = np.stack([env.step(action).reward for action in random_actions(150, env.spec.action.size)])
    assert rewards.max() >= 10, "a pill is worth ten points"
    env.close()


def test_a_life_loss_terminates_but_does_not_reset():
    """The same games with ALE's own `life_loss_info`; there a new game shows in a falling frame number."""
    env = AleVectorEnv(game="breakout", seeds=SEEDS, life_loss_terminates=True)
    reference = AtariVectorEnv("breakout", 2, num_threads=1, reward_clipping=False, life_loss_info=True)
    np.testing.assert_array_equal(env.reset(), reference.reset(seed=SEEDS)[0])
    life_losses, frame_numbers, ends = np.zeros(2), [], []
    for action in random_actions(700, env.spec.action.size):
        result = env.step(action)
        observation, reward, terminated, truncated, info = reference.step(action)
        np.testing.assert_array_equal(result.observation, observation)
        np.testing.assert_array_equal(result.reward, reward)
        np.testing.assert_array_equal(result.terminated, terminated)
        np.testing.assert_array_equal(result.truncated, truncated)
        frame_numbers.append(info["episode_frame_number"])
        ends.append(result.episode_end)
        life_losses += result.terminated & ~result.episode_end
        for index in np.flatnonzero(result.episode_end):
            assert life_losses[index] == 4, "Breakout has five lives; losing the last one ends the game"
            life_losses[index] = 0
    env.close()
    new_game = np.diff(frame_numbers, axis=0) < 0
    assert new_game.any(axis=0).all()
    np.testing.assert_array_equal(new_game, np.stack(ends)[:-1])


def test_without_life_loss_only_the_game_over_terminates():
    env = AleVectorEnv(game="breakout", seeds=SEEDS)
    env.reset()
    results = [env.step(action) for action in random_actions(400, env.spec.action.size)]
    env.close()
    terminated, ends = np.stack([r.terminated for r in results]), np.stack([r.episode_end for r in results])
    assert terminated.any()
    np.testing.assert_array_equal(terminated, ends)


def test_a_game_is_truncated_after_its_limit_in_frames():
    env = AleVectorEnv(game="pong", seeds=SEEDS, max_episode_frames=200)
    env.reset()
    results = [env.step(np.zeros(2, dtype=np.int64)) for _ in range(101)]
    env.close()
    truncated = np.stack([r.truncated for r in results])
    assert np.flatnonzero(truncated[:, 0]).tolist() == [49, 100], "50 valid steps of 4 frames, a reset, 50 steps"
    np.testing.assert_array_equal(truncated, np.stack([r.episode_end for r in results]))
    assert not any(r.terminated.any() for r in results)


def test_a_life_lost_at_the_time_limit_is_not_taken_for_a_game_that_goes_on():
    actions = random_actions(200, 4)
    env = AleVectorEnv(game="breakout", seeds=SEEDS, life_loss_terminates=True)
    steps = first_step_where(env, actions, "terminated")
    env.close()
    env = AleVectorEnv(game="breakout", seeds=SEEDS, life_loss_terminates=True, max_episode_frames=4 * steps)
    env.reset()
    results = [env.step(action) for action in actions[: steps + 1]]
    env.close()
    last, after = results[-2:]
    assert last.terminated[0] and last.truncated[0] and last.episode_end[0]
    assert not after.valid[0] and after.is_first[0]


@pytest.mark.parametrize(
    ("fire_reset", "noop_max", "fewest", "most"),
    [(True, 30, 1, 29), (False, 30, 0, 29), (True, 0, 1, 1), (False, 0, 0, 0)],
)
def test_frames_played_by_a_reset(fire_reset, noop_max, fewest, most):
    """Not a promise of this project but of ale-py: its docstring in `actors.envs.ale` must not become untrue."""
    env = AtariVectorEnv("pong", 2, num_threads=1, use_fire_reset=fire_reset, noop_max=noop_max)
    env.reset(seed=SEEDS)
    frames = np.stack([env.reset()[1]["episode_frame_number"] for _ in range(80)])
    assert (frames.min(), frames.max()) == (fewest, most)


def test_episodic_life_of_ale_would_restart_the_whole_game():
    """Why `life_loss_terminates` is not built on it."""
    env = AtariVectorEnv("breakout", 2, num_threads=1, episodic_life=True)
    env.reset(seed=SEEDS)
    for action in random_actions(200, 4):
        _, _, terminated, _, info = env.step(action)
        if terminated[0]:
            break
    assert terminated[0] and info["lives"][0] == 4
    assert env.step(action)[4]["lives"][0] == 5


def test_frame_skip_stack_and_size_are_those_asked_for():
    env = AleVectorEnv(game="pong", seeds=SEEDS, frame_skip=2, frame_stack=3, image_size=64, full_action_space=True)
    assert env.reset().shape == (2, 3, 64, 64)
    assert (env.spec.frame_skip, env.spec.frame_stack, env.spec.action.size) == (2, 3, 18)
    assert env.spec.frame_shape == (64, 64)
    env.close()


def test_close_joins_the_threads_of_the_emulators():
    def num_threads() -> int:
        return len(os.listdir("/proc/self/task"))

    before = num_threads()
    env = AleVectorEnv(game="pong", seeds=SEEDS, threads=1)
    env.reset()
    assert num_threads() == before + 1
    env.close()
    deadline = time.monotonic() + 5
    while num_threads() > before:  # a joined thread leaves the process list a moment later
        assert time.monotonic() < deadline


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"game": "Pong"}, "'pong'"),
        ({"game": "montezumas_revenge"}, "'montezuma_revenge'"),
        ({"threads": 0}, "threads must be at least 1"),
        ({"frame_skip": 0}, "frame_skip must be at least 1"),
        ({"max_episode_frames": 0}, "max_episode_frames must be at least 1"),
        ({"noop_max": -1}, "noop_max must be at least 0"),
        ({"sticky_actions": 1.5}, "probability"),
    ],
)
def test_bad_settings_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        AleVectorEnv(**{"game": "pong", "seeds": SEEDS, **setting})
