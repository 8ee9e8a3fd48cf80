"""MiniGrid by EnvPool beside minigrid's own: the same world, other levels."""

import sys

import gymnasium
import numpy as np
import pytest

from actors.envs.minigrid import MiniGridVectorEnv
from actors.envs.minigrid_pool import MiniGridPool, planes
from actors.envs.pool import known_tasks, make_pool
from configs.env import MINIGRID_VALUES

pytest.importorskip("minigrid")
SEEDS = np.array([5, 6, 7], np.int32)
ONE_LEVEL = ("MiniGrid-Empty-8x8-v0", "MiniGrid-DistShift1-v0", "MiniGrid-DistShift2-v0")
"""Ids without chance: both engines have the same level."""


@pytest.fixture
def installed():
    pytest.importorskip("envpool")


def mostly_forward(env, steps: int) -> np.ndarray:
    """[T, N], such that goals are reached by chance."""
    rng = np.random.default_rng(0)
    actions = rng.integers(0, env.spec.action.size, (steps, env.num_envs))
    return np.where(rng.random(actions.shape) < 0.5, 2, actions)


def test_planes_are_object_colour_state_and_direction():
    image = np.arange(2 * 7 * 7 * 3, dtype=np.uint8).reshape(2, 7, 7, 3)
    shown = planes(image, np.array([3, 1], np.int32))
    assert (shown.shape, shown.dtype) == ((2, 4, 7, 7), np.uint8)
    for plane in range(3):
        np.testing.assert_array_equal(shown[:, plane], image[..., plane])
    assert (shown[0, 3] == 3).all() and (shown[1, 3] == 1).all()


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("limit", [None, 60])
@pytest.mark.parametrize("env_id", ONE_LEVEL)
def test_both_engines_play_the_same_episodes(env_id, limit):
    pool = MiniGridPool(env_id=env_id, seeds=SEEDS, max_episode_steps=limit, threads=2)
    plain = MiniGridVectorEnv(env_id=env_id, seeds=SEEDS, max_episode_steps=limit)
    assert pool.spec == plain.spec
    np.testing.assert_array_equal(pool.reset(), plain.reset())
    rewards, truncations = 0, 0
    for action in mostly_forward(plain, 600):
        ours, theirs = pool.step(action), plain.step(action)
        np.testing.assert_allclose(ours.reward, theirs.reward, rtol=1e-6)  # float32's last place
        lava_at_the_limit = theirs.terminated & theirs.truncated & (theirs.reward == 0)
        np.testing.assert_array_equal(ours.terminated, theirs.terminated & ~lava_at_the_limit)
        for field in ("observation", "truncated", "valid", "is_first", "episode_end"):
            np.testing.assert_array_equal(getattr(ours, field), getattr(theirs, field), err_msg=field)
        rewards += np.count_nonzero(theirs.reward)
        truncations += theirs.truncated.sum()
    assert rewards >= 1 or env_id != "MiniGrid-Empty-8x8-v0", "too few steps: no reward was compared"
    assert truncations >= 1 or limit is None, "too few steps: no limit was reached"
    pool.close()
    plain.close()


@pytest.mark.usefixtures("installed")
@pytest.mark.filterwarnings("ignore:.*out of date")
@pytest.mark.parametrize(
    "env_id", ["MiniGrid-DoorKey-5x5-v0", "MiniGrid-MultiRoom-N4-S5-v0", "MiniGrid-KeyCorridorS3R1-v0"]
)
def test_both_engines_show_the_same_things(env_id):
    """Pairs of object and state, colours, and directions, whatever the level."""
    seen = []
    for engine in (MiniGridPool, MiniGridVectorEnv):
        env = engine(env_id=env_id, seeds=np.arange(8, dtype=np.int32), max_episode_steps=100)
        views = [env.reset(), *(env.step(action).observation for action in mostly_forward(env, 500))]
        objects, colours, states, directions = np.moveaxis(np.array(views), 2, 0)
        seen.append((set(zip(objects.flat, states.flat, strict=True)), set(colours.flat), set(directions.flat)))
        env.close()
    assert seen[0] == seen[1]


@pytest.mark.usefixtures("installed")
@pytest.mark.filterwarnings("ignore:.*out of date")
def test_every_id_has_the_spec_and_the_limit_that_minigrid_gives_it():
    for env_id in known_tasks("MiniGrid-"):
        pool = MiniGridPool(env_id=env_id, seeds=SEEDS)
        views = [pool.reset(), *(pool.step(action).observation for action in mostly_forward(pool, 50))]
        assert (np.max(views, axis=(0, 1, 3, 4)) < MINIGRID_VALUES).all(), env_id
        single = gymnasium.make(env_id)
        assert (pool.spec.action.size, make_pool(env_id, num_envs=1).config["max_episode_steps"]) == (
            single.action_space.n, single.unwrapped.max_steps,
        ), env_id  # fmt: skip
        pool.close()


@pytest.mark.usefixtures("installed")
def test_each_seed_has_its_levels_wherever_it_stands():
    games = []
    for seeds in (SEEDS, SEEDS[::-1]):
        env = MiniGridPool(env_id="MiniGrid-MultiRoom-N6-v0", seeds=seeds)
        actions = mostly_forward(env, 150)[:, :1].repeat(3, axis=1)
        games.append(np.stack([env.reset(), *(env.step(action).observation for action in actions)], axis=1))
    np.testing.assert_array_equal(games[0], games[1][::-1])
    assert len({game.tobytes() for game in games[0]}) == 3


@pytest.mark.usefixtures("installed")
def test_a_reset_begins_again_and_the_first_needs_no_second_pool(monkeypatch):
    built = []

    def counted(**settings):
        built.append(settings)
        return make_pool(**settings)

    monkeypatch.setattr("actors.envs.minigrid_pool.make_pool", counted)
    env = MiniGridPool(env_id="MiniGrid-MultiRoom-N6-v0", seeds=SEEDS)
    actions, games = mostly_forward(env, 150), []
    for _ in range(2):
        games.append(np.stack([env.reset(), *(env.step(action).observation for action in actions)]))
        assert len(built) == len(games)
    np.testing.assert_array_equal(*games)


@pytest.mark.usefixtures("installed")
def test_the_first_environment_is_drawn():
    env = MiniGridPool(env_id="MiniGrid-Empty-8x8-v0", seeds=SEEDS, render=True)
    env.reset()
    before = env.render()
    plain = MiniGridVectorEnv(env_id="MiniGrid-Empty-8x8-v0", seeds=SEEDS, render=True)
    plain.reset()
    assert (before.shape, before.dtype) == (plain.render().shape, np.uint8)
    env.step(np.array([2, 0, 0]))
    assert (env.render() != before).any()
    env.close()


@pytest.mark.usefixtures("installed")
def test_an_id_that_envpool_lacks_is_refused_with_the_nearest():
    match = "EnvPool has no MiniGrid-MultiRoom-N4-S5-v1; the nearest is MiniGrid-MultiRoom-N4-S5-v0, or set env.engine"
    with pytest.raises(ValueError, match=match):
        MiniGridPool(env_id="MiniGrid-MultiRoom-N4-S5-v1", seeds=SEEDS)


def test_a_missing_envpool_is_one_line_that_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "envpool", None)  # what Python takes for "there is none"
    for attempt in (lambda: make_pool("MiniGrid-Empty-8x8-v0"), lambda: MiniGridPool(env_id="x", seeds=SEEDS)):
        with pytest.raises(ValueError, match=r"^EnvPool is not installed here \(.+\); pip install --no-deps --target "):
            attempt()
