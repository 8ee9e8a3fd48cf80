"""What every VectorEnv promises, checked on each backend with random actions."""

from functools import partial
from importlib.util import find_spec

import numpy as np
import pytest

from actors.envs.ale import AleVectorEnv
from actors.envs.ale_envpool import AleEnvpoolVectorEnv
from actors.envs.ale_single import AleSingleVectorEnv
from actors.envs.frame_stack import FrameStacked
from actors.envs.gymnasium_env import GymnasiumVectorEnv
from actors.envs.mario import MarioVectorEnv
from actors.envs.minigrid import MiniGridVectorEnv
from actors.envs.minigrid_pool import MiniGridPool
from rl_platform.core.interfaces import StepResult, VectorEnv
from rl_platform.core.seeding import derive_seeds
from rl_platform.core.spec import ActionSpec

SEEDS = derive_seeds(1, 2, "env", 0, 0)
OTHER_SEEDS = derive_seeds(1, 2, "env", 0, 1)  # the next incarnation of the same actor


def cartpole_pixels(seeds: np.ndarray) -> FrameStacked:
    kwargs = {"render_mode": "rgb_array"}
    return FrameStacked(GymnasiumVectorEnv(env_id="CartPole-v1", seeds=seeds, kwargs=kwargs, image_size=84), 4)


def mario(seeds: np.ndarray) -> FrameStacked:
    settings = {"sticky_actions": 0.25, "frame_skip": 1, "max_episode_frames": 60}
    return FrameStacked(MarioVectorEnv(env_id="SuperMarioBros-v0", seeds=seeds, **settings), 4)


CASES = {
    "pong-truncated": partial(AleVectorEnv, game="pong", max_episode_frames=180),
    "breakout-life-loss": partial(AleVectorEnv, game="breakout", life_loss_terminates=True, sticky_actions=0.25),
    "pong-single": partial(AleSingleVectorEnv, game="pong", max_episode_frames=180),
    "envpool-pong-truncated": partial(AleEnvpoolVectorEnv, game="pong", max_episode_frames=180),
    "envpool-montezuma": partial(
        AleEnvpoolVectorEnv, game="montezuma_revenge", room_byte=3, max_episode_frames=180, sticky_actions=0.25
    ),
    "cartpole": partial(GymnasiumVectorEnv, env_id="CartPole-v1"),
    "cartpole-truncated": partial(GymnasiumVectorEnv, env_id="CartPole-v1", max_episode_steps=15),
    "minatar": partial(GymnasiumVectorEnv, env_id="MinAtar/Breakout-v1", kwargs={"sticky_action_prob": 0.0}),
    "pendulum": partial(GymnasiumVectorEnv, env_id="Pendulum-v1"),
    "mujoco-hopper": partial(GymnasiumVectorEnv, env_id="Hopper-v5"),
    "mujoco-cheetah-truncated": partial(GymnasiumVectorEnv, env_id="HalfCheetah-v5", max_episode_steps=50),
    "cartpole-pixels": cartpole_pixels,
    "minigrid": partial(MiniGridVectorEnv, env_id="MiniGrid-MultiRoom-N6-v0"),
    "minigrid-lava-truncated": partial(MiniGridVectorEnv, env_id="MiniGrid-LavaGapS7-v0", max_episode_steps=20),
    "minigrid-pool": partial(MiniGridPool, env_id="MiniGrid-MultiRoom-N6-v0"),
    "minigrid-pool-lava-truncated": partial(MiniGridPool, env_id="MiniGrid-LavaGapS7-v0", max_episode_steps=20),
    "mario": mario,
}
NEEDS = {
    "mujoco-": "mujoco",
    "cartpole-pixels": "pygame",
    "minigrid": "minigrid",
    "minigrid-pool": "envpool",
    "envpool-": "envpool",
    "mario": "gym_super_mario_bros",
}
"""Packages of extras, by how the names of cases begin."""


@pytest.fixture(params=CASES.keys())
def make(request):
    for begin, package in NEEDS.items():
        if request.param.startswith(begin) and find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    return CASES[request.param]


def random_actions(action: ActionSpec, steps: int, num_envs: int) -> np.ndarray:
    """[T, N] choices, or [T, N, A] numbers of which some are out of bounds."""
    rng = np.random.default_rng(0)
    if action.kind == "categorical":
        return rng.integers(0, action.size, (steps, num_envs))
    return rng.normal(scale=2.0, size=(steps, num_envs, action.size)).astype(np.float32)


def play(env: VectorEnv, steps: int) -> tuple[np.ndarray, list[StepResult]]:
    """The first observation and the results of `steps` random actions (the same ones at every call)."""
    actions = random_actions(env.spec.action, steps, env.num_envs)
    return env.reset(), [env.step(action) for action in actions]


def as_arrays(results: list[StepResult]) -> StepResult:
    """Time-major [T, N, …]."""
    return StepResult(*(np.stack(field) for field in list(zip(*results, strict=True))[:-1]))


def test_shapes_and_dtypes_are_those_of_the_spec(make):
    env = make(seeds=SEEDS)
    first, results = play(env, 20)
    shape, dtype = (2, *env.spec.observation_shape), np.dtype(env.spec.observation_dtype)
    assert env.num_envs == 2
    for observation in (first, *(result.observation for result in results)):
        assert (observation.shape, observation.dtype) == (shape, dtype)
    for result in results:
        assert (result.reward.shape, result.reward.dtype) == ((2,), np.float32)
        for flag in result[2:7]:
            assert (flag.shape, flag.dtype) == ((2,), np.bool_)
        assert result.faults == ()
    env.close()


def test_the_step_after_an_episode_only_resets(make):
    env = make(seeds=SEEDS)
    _, results = play(env, 300)
    steps = as_arrays(results)
    assert steps.episode_end.any(axis=0).all(), "too short: every environment must end an episode"
    assert not steps.is_first[0].any(), "reset() started the first episodes"
    np.testing.assert_array_equal(steps.is_first[1:], steps.episode_end[:-1])
    np.testing.assert_array_equal(steps.valid, ~steps.is_first)
    ended = steps.terminated | steps.truncated
    assert ended[steps.episode_end].all()
    assert not (ended | steps.episode_end)[~steps.valid].any()
    assert (steps.reward[~steps.valid] == 0).all()
    env.close()


def test_equal_seeds_give_equal_games_also_after_a_second_reset(make):
    env, twin = make(seeds=SEEDS), make(seeds=SEEDS)
    first, results = play(env, 120)
    for other in (twin, env):
        other_first, other_results = play(other, 120)
        np.testing.assert_array_equal(first, other_first)
        for result, other_result in zip(results, other_results, strict=True):
            for field, other_field in zip(result[:-1], other_result[:-1], strict=True):
                np.testing.assert_array_equal(field, other_field)
    env.close()
    twin.close()


def test_different_seeds_give_different_games(make):
    observations = []
    for seeds in (SEEDS, OTHER_SEEDS):
        env = make(seeds=seeds)
        env.reset()
        # The same actions everywhere, so that only seeds differ.
        actions = random_actions(env.spec.action, 40, 1).repeat(2, axis=1)
        observations.append(np.stack([env.step(action).observation for action in actions], axis=1))
        env.close()
    games = {game.tobytes() for game in np.concatenate(observations)}
    assert len(games) == 4


def test_returned_arrays_are_not_overwritten_by_later_steps(make):
    env = make(seeds=SEEDS)
    _, results = play(env, 1)
    copies = [np.copy(field) for field in results[0][:-1]]
    for _ in range(60):
        env.step(np.zeros((2, *env.spec.action.shape), env.spec.action.dtype))
    for field, copy in zip(results[0][:-1], copies, strict=True):
        np.testing.assert_array_equal(field, copy)
    env.close()


def wrong_actions(action: ActionSpec) -> list[np.ndarray]:
    """[2] or [2, A], the second environment's alone at fault; and actions of another shape."""
    if action.kind == "categorical":
        return [np.array([0, -1]), np.array([0, action.size])]
    zeros = np.zeros((2, action.size), np.float32)
    return [np.where([[False], [True]], wrong, zeros) for wrong in (np.nan, np.inf)] + [zeros[:, :0]]


def test_an_impossible_action_is_refused(make):
    env = make(seeds=SEEDS)
    env.reset()
    for wrong in wrong_actions(env.spec.action):
        with pytest.raises(AssertionError):
            env.step(wrong)
    env.close()


def test_where_names_the_environment_and_closing_twice_is_harmless(make):
    env = make(seeds=SEEDS)
    assert env.spec.name in env.where()
    env.reset()
    env.close()
    env.close()


@pytest.mark.parametrize(
    "seeds",
    [np.array([1, 1], dtype=np.int32), np.array([-1, 1], dtype=np.int32), np.array([1, 2]), np.array([], np.int32)],
    ids=["equal", "negative", "int64", "none"],
)
def test_bad_seeds_are_refused(make, seeds):
    with pytest.raises(ValueError, match="seeds must be"):
        make(seeds=seeds)
