"""MiniGrid as minigrid plays it, in planes; and levels that come back."""

import gymnasium
import numpy as np
import pytest

from actors.envs.minigrid import GridView, MiniGridVectorEnv
from configs.env import MINIGRID_VALUES
from configs.registries import register

MiniGridEnv = pytest.importorskip("minigrid.minigrid_env").MiniGridEnv
register("MiniGrid-")
SEEDS = np.array([5, 6, 7], np.int32)
FORWARD, RIGHT = 2, 1
TO_THE_GOAL = [FORWARD, FORWARD, RIGHT, FORWARD, FORWARD]  # of MiniGrid-Empty-5x5-v0
IDS = sorted(name for name in gymnasium.registry if name.startswith("MiniGrid-") and "WFC" not in name)


def random_actions(env, steps: int) -> np.ndarray:
    """[T, N]."""
    return np.random.default_rng(0).integers(0, env.spec.action.size, (steps, env.num_envs))


def test_episodes_are_those_that_minigrid_plays():
    env = MiniGridVectorEnv(env_id="MiniGrid-DoorKey-5x5-v0", seeds=SEEDS, max_episode_steps=60)
    plain = [gymnasium.make("MiniGrid-DoorKey-5x5-v0", max_steps=60) for _ in SEEDS]
    expected = [single.reset(seed=int(seed))[0] for single, seed in zip(plain, SEEDS, strict=True)]
    shown, over, ends = env.reset(), [False] * 3, 0
    for action in random_actions(env, 300):
        for index, observation in enumerate(expected):
            np.testing.assert_array_equal(shown[index, :3], np.moveaxis(observation["image"], -1, 0))
            assert (shown[index, 3] == observation["direction"]).all()
        result = env.step(action)
        shown = result.observation
        for index, single in enumerate(plain):
            if over[index]:
                expected[index], over[index] = single.reset()[0], False
                continue
            expected[index], reward, terminated, truncated, _ = single.step(action[index])
            assert (result.reward[index], result.terminated[index], result.truncated[index]) == (
                np.float32(reward), terminated, truncated,
            )  # fmt: skip
            over[index] = terminated or truncated
            ends += over[index]
    assert ends >= 12
    env.close()


@pytest.mark.filterwarnings("ignore:.*out of date")
@pytest.mark.parametrize("env_id", IDS)
def test_every_view_is_minigrids_own(env_id):
    """What `MiniGridEnv.gen_obs` makes of the same state, slowly."""
    env = GridView(gymnasium.make(env_id, disable_env_checker=True, max_steps=30), None)
    shown, rng, over = env.reset(seed=1)[0], np.random.default_rng(0), False
    for _ in range(100):
        expected = MiniGridEnv.gen_obs(env.unwrapped)
        np.testing.assert_array_equal(shown[:3], np.moveaxis(expected["image"], -1, 0))
        assert (shown[3] == expected["direction"]).all()
        action = rng.integers(env.action_space.n)
        if over:
            shown, over = env.reset()[0], False
        else:
            shown, _, terminated, truncated, _ = env.step(action)
            over = terminated or truncated
    env.close()


@pytest.mark.filterwarnings("ignore:.*out of date")
@pytest.mark.parametrize("env_id", IDS)
def test_every_id_stays_within_the_number_of_values(env_id):
    env = MiniGridVectorEnv(env_id=env_id, seeds=SEEDS[:1], max_episode_steps=20)
    seen = [env.reset(), *(env.step(action).observation for action in random_actions(env, 60))]
    assert env.spec.observation_shape == (4, 7, 7)
    assert (np.max(seen, axis=(0, 1, 3, 4)) < MINIGRID_VALUES).all()
    env.close()


def test_a_locked_door_and_a_carried_key_are_seen():
    """The last of the states, and the cell that the agent stands on."""
    env = MiniGridVectorEnv(env_id="MiniGrid-DoorKey-5x5-v0", seeds=SEEDS[:1])
    observations = [env.reset(), *(env.step(action).observation for action in random_actions(env, 400))]
    objects, states = np.array(observations)[:, 0, 0], np.array(observations)[:, 0, 2]
    door, key = 4, 5
    assert set(states[objects == door]) == {0, 1, 2}, "open, closed, locked"
    assert not states[objects != door].any()
    assert (objects[:, 3, 6] == key).any()
    env.close()


@pytest.mark.parametrize(("limit", "reward"), [(None, 1 - 0.9 * 5 / 100), (50, 1 - 0.9 * 5 / 50)])
def test_the_reward_is_relative_to_the_limit(limit, reward):
    env = MiniGridVectorEnv(env_id="MiniGrid-Empty-5x5-v0", seeds=SEEDS, max_episode_steps=limit)
    env.reset()
    results = [env.step(np.full(3, action)) for action in TO_THE_GOAL]
    assert not np.any([result.reward for result in results[:-1]])
    assert (results[-1].reward == np.float32(reward)).all() and results[-1].terminated.all()
    env.close()


def test_a_limit_truncates():
    env = MiniGridVectorEnv(env_id="MiniGrid-Empty-5x5-v0", seeds=SEEDS, max_episode_steps=4)
    env.reset()
    results = [env.step(np.zeros(3, np.int64)) for _ in range(4)]
    assert [bool(result.truncated.all()) for result in results] == [False, False, False, True]
    assert not any(result.terminated.any() for result in results)
    env.close()


def levels(level_seed: int | None, env_id: str = "MiniGrid-MultiRoom-N6-v0") -> set[bytes]:
    """The first views of three episodes of three environments."""
    env = MiniGridVectorEnv(env_id=env_id, seeds=SEEDS, max_episode_steps=5, level_seed=level_seed)
    views = {view.tobytes() for view in env.reset()}
    for _ in range(12):
        result = env.step(np.zeros(3, np.int64))
        views |= {view.tobytes() for view in result.observation[result.is_first]}
    env.close()
    return views


def test_a_level_seed_is_one_level_for_all_episodes_of_all_environments():
    assert len(levels(None)) == 9
    first, second = levels(1), levels(2)
    assert len(first) == len(second) == 1 and first != second
    raw = GridView(gymnasium.make("MiniGrid-MultiRoom-N6-v0", disable_env_checker=True), None)
    assert first == {raw.reset(seed=1)[0].tobytes()}, "the level that minigrid has for this seed"


def test_the_whole_grid_of_a_level_comes_back():
    grids = []
    env = GridView(gymnasium.make("MiniGrid-MultiRoom-N6-v0", disable_env_checker=True), 3)
    for seed in (1, None, 2):
        env.reset(seed=seed)
        grids.append(env.unwrapped.grid.encode())
    np.testing.assert_array_equal(grids[0], grids[1])
    np.testing.assert_array_equal(grids[0], grids[2])


def test_it_is_drawn_where_it_must_be_shown():
    env = MiniGridVectorEnv(env_id="MiniGrid-Empty-5x5-v0", seeds=SEEDS, render=True)
    env.reset()
    before = env.render()
    assert before.dtype == np.uint8 and before.shape[2] == 3
    env.step(np.full(3, FORWARD))
    assert (env.render() != before).any()
    env.close()
