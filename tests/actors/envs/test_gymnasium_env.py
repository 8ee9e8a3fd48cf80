"""gymnasium environments: episodes as gymnasium plays them, and environments that break."""

import sys

import ale_py
import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, MultiDiscrete

from actors.envs.gymnasium_env import GymnasiumVectorEnv
from actors.envs.single import MAX_TRIES
from rl_platform.core.spec import ActionSpec

SEEDS = np.array([1, 2, 3], dtype=np.int32)
BAD_SEED = 2
LENGTH = 5
MUJOCO = ("Hopper-v5", "HalfCheetah-v5")


class Fragile(gymnasium.Env):
    """Counts to `LENGTH`. Started from BAD_SEED, it breaks at its third step (or at a reset) in the way of `fault`."""

    built: list["Fragile"] = []
    on_step = staticmethod(lambda: None)

    def __init__(self, fault: str = "none", dtype: str = "float32"):
        self.fault, self.seed, self.resets, self.closed = fault, None, 0, False
        self.observation_space = Box(0, 1 if dtype == "bool" else 255, (2,), np.dtype(dtype).type)
        self.action_space = Discrete(2, start=3)
        Fragile.built.append(self)

    def reset(self, *, seed=None, options=None):
        self.seed = self.seed if seed is None else seed
        self.count, self.resets = 0, self.resets + 1
        breaks_now = self.seed == BAD_SEED and {"first reset": 1, "second reset": 2}.get(self.fault) == self.resets
        if breaks_now or self.fault == "every reset":
            raise OSError("no\nreset")
        return self._observation(), {}

    def step(self, action):
        assert self.action_space.contains(action)
        Fragile.on_step()
        self.count += 1
        observation, reward = self._observation(), 1.0
        if self.seed == BAD_SEED and self.count == 3:
            observation, reward = self._broken(observation)
        return observation, reward, self.count == LENGTH, False, {}

    def close(self):
        self.closed = True

    def _observation(self):
        return np.full(2, self.count, self.observation_space.dtype)

    def _broken(self, observation):
        if self.fault == "raise":
            raise OSError("boom")
        return {
            "shape": (observation[:1], 1.0),
            "dtype": (observation.astype(np.float64), 1.0),
            "list": ([0.0, 0.0], 1.0),
            "nan observation": (observation * np.nan, 1.0),
            "nan reward": (observation, float("nan")),
            "infinite reward": (observation, 1e300),
            "array reward": (observation, np.ones(1)),
        }.get(self.fault, (observation, 1.0))


class Shaped(gymnasium.Env):
    """Noise of a given shape."""

    action_space = Discrete(2)

    def __init__(self, shape):
        self.observation_space = Box(0, 255, shape, np.uint8)

    def reset(self, *, seed=None, options=None):
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 0.0, False, False, {}


class Recording(gymnasium.Env):
    """Has the action space that it is given, and keeps the actions that it gets."""

    built: list["Recording"] = []
    observation_space = Box(-1, 1, (1,), np.float64)

    def __init__(self, space: gymnasium.Space):
        self.action_space, self.actions = space, []
        Recording.built.append(self)

    def reset(self, *, seed=None, options=None):
        return np.zeros(1), {}

    def step(self, action):
        assert self.action_space.contains(action)
        self.actions.append(action)
        return np.zeros(1), 0.0, False, False, {}


gymnasium.register("Fragile-v0", entry_point=Fragile)
gymnasium.register("Shaped-v0", entry_point=Shaped)
gymnasium.register("Recording-v0", entry_point=Recording)


@pytest.fixture(autouse=True)
def forget_what_was_built():
    Fragile.built.clear()
    Recording.built.clear()


def make_fragile(fault: str, **kwargs) -> GymnasiumVectorEnv:
    return GymnasiumVectorEnv(env_id="Fragile-v0", seeds=SEEDS, kwargs={"fault": fault, **kwargs})


def play(env: GymnasiumVectorEnv, steps: int):
    env.reset()
    return [env.step(np.zeros(env.num_envs, dtype=np.int64)) for _ in range(steps)]


@pytest.mark.parametrize(
    ("env_id", "limit", "ends"),
    [
        ("CartPole-v1", 20, {"terminated", "truncated"}),
        ("Pendulum-v1", 50, {"truncated"}),
        ("Hopper-v5", 20, {"terminated", "truncated"}),
        ("HalfCheetah-v5", 30, {"truncated"}),
    ],
)
def test_episodes_are_those_that_gymnasium_plays(env_id, limit, ends):
    if env_id in MUJOCO:
        pytest.importorskip("mujoco")
    env = GymnasiumVectorEnv(env_id=env_id, seeds=SEEDS, max_episode_steps=limit)
    plain = [gymnasium.make(env_id, max_episode_steps=limit) for _ in SEEDS]
    expected = [single.reset(seed=int(seed))[0] for single, seed in zip(plain, SEEDS, strict=True)]
    np.testing.assert_array_equal(env.reset(), np.float32(expected))
    over, seen = [False] * len(SEEDS), set()
    for action in random_actions(env, 200):
        result = env.step(action)
        assert result.observation.dtype == np.float32
        for index, single in enumerate(plain):
            assert result.valid[index] == (not over[index])
            if over[index]:
                np.testing.assert_array_equal(result.observation[index], np.float32(single.reset()[0]))
                over[index] = False
                continue
            observation, reward, terminated, truncated, _ = single.step(within(action[index], single.action_space))
            np.testing.assert_array_equal(result.observation[index], np.float32(observation))
            assert (result.reward[index], result.terminated[index], result.truncated[index]) == (
                np.float32(reward), terminated, truncated,
            )  # fmt: skip
            over[index] = terminated or truncated
            seen |= {name for name, ended in (("terminated", terminated), ("truncated", truncated)) if ended}
    env.close()
    assert seen == ends


def random_actions(env: GymnasiumVectorEnv, steps: int) -> np.ndarray:
    """[T, N] choices, or [T, N, A] numbers of which some are out of bounds."""
    rng, shape = np.random.default_rng(0), (steps, env.num_envs, *env.spec.action.shape)
    if env.spec.action.kind == "categorical":
        return rng.integers(0, env.spec.action.size, shape)
    return rng.normal(scale=2.0, size=shape).astype(np.float32)


def within(action: np.ndarray, space: gymnasium.Space) -> np.ndarray:
    return action if isinstance(space, Discrete) else np.clip(action, space.low, space.high)


BOUNDED = Box(np.array([-2.0, 0.0]), np.array([2.0, 0.1]), dtype=np.float64)
HALF_BOUNDED = Box(np.array([-1.0, -np.inf], np.float32), np.array([np.inf, np.inf], np.float32))


@pytest.mark.parametrize(
    ("space", "given", "expected"),
    [
        (BOUNDED, [[3.0, 0.05], [-5.0, 0.5], [1.0, -0.5]], [[2.0, np.float32(0.05)], [-2.0, 0.1], [1.0, 0.0]]),
        (HALF_BOUNDED, [[-3.0, -9.0], [1e6, 9.0], [0.0, 0.0]], [[-1.0, -9.0], [1e6, 9.0], [0.0, 0.0]]),
        (Discrete(3, start=-1), [0, 1, 2], [-1, 0, 1]),
    ],
)
def test_environments_get_actions_of_their_space(space, given, expected):
    """Each in its own, in its space's dtype and within its bounds; the array that was given stays as it was."""
    env = GymnasiumVectorEnv(env_id="Recording-v0", seeds=SEEDS, kwargs={"space": space})
    action = np.array(given, env.spec.action.dtype)
    env.reset()
    env.step(action)
    assert action.tolist() == np.array(given, action.dtype).tolist()
    np.testing.assert_array_equal([single.actions for single in Recording.built[1:]], np.array(expected)[:, None])
    assert all(np.asarray(single.actions[0]).dtype == space.dtype for single in Recording.built[1:])
    env.close()


def test_bounds_are_part_of_the_spec():
    specs = [GymnasiumVectorEnv(env_id="Recording-v0", seeds=SEEDS, kwargs={"space": space}).spec.action
             for space in (BOUNDED, HALF_BOUNDED, Discrete(3, start=-1))]  # fmt: skip
    assert specs == [
        ActionSpec("gaussian", 2, low=(-2.0, 0.0), high=(2.0, 0.1)),
        ActionSpec("gaussian", 2, low=(-1.0, -np.inf), high=(np.inf, np.inf)),
        ActionSpec("categorical", 3),
    ]


def test_a_missing_mujoco_is_one_line_that_says_what_to_install(monkeypatch):
    for module in [name for name in sys.modules if name.startswith("gymnasium.envs.mujoco")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "mujoco", None)  # what Python takes for "there is none"
    with pytest.raises(ValueError, match=r"^'Hopper-v5' needs MuJoCo \(.+\): pip install 'rl-platform\[mujoco\]'$"):
        GymnasiumVectorEnv(env_id="Hopper-v5", seeds=SEEDS)


def test_a_time_limit_truncates_and_a_fall_terminates():
    env = GymnasiumVectorEnv(env_id="CartPole-v1", seeds=SEEDS, max_episode_steps=5)
    limited = play(env, 5)[-1]
    assert limited.truncated.all() and limited.episode_end.all() and not limited.terminated.any()
    env.close()
    env = GymnasiumVectorEnv(env_id="CartPole-v1", seeds=SEEDS)
    results = play(env, 12)  # always pushing left, the pole falls in eight to ten steps
    ends = np.stack([result.episode_end for result in results])
    assert ends.any(axis=0).all()
    np.testing.assert_array_equal(ends, np.stack([result.terminated for result in results]))
    assert not any(result.truncated.any() for result in results)
    env.close()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("raise", "OSError: boom"),
        ("shape", "got float32 (1,)"),
        ("dtype", "got float64 (2,)"),
        ("list", "got list"),
        ("nan observation", "not finite"),
        ("nan reward", "not finite"),
        ("infinite reward", "not finite"),
        ("array reward", "got ndarray"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_an_environment_that_breaks_in_a_step_is_replaced(fault, message):
    env = make_fragile(fault)
    results = play(env, 9)
    broken = results[2]
    assert broken.valid.tolist() == [True, False, True] and broken.is_first.tolist() == [False, True, False]
    assert not (broken.terminated | broken.truncated | broken.episode_end).any()
    assert broken.reward.tolist() == [1.0, 0.0, 1.0]
    assert broken.observation[:, 0].tolist() == [3.0, 0.0, 3.0]
    assert len(broken.faults) == 1
    assert broken.faults[0].startswith("environment 1 of 3 (Fragile-v0) was replaced: ") and message in broken.faults[0]
    assert [len(result.faults) for result in results] == [0, 0, 1, 0, 0, 0, 0, 0, 0]
    ends = np.stack([result.episode_end for result in results])
    assert [np.flatnonzero(ends[:, index]).tolist() for index in range(3)] == [[4], [7], [4]]
    env.close()


def test_a_broken_environment_is_closed_and_its_successor_has_another_seed():
    env = make_fragile("raise")
    play(env, 3)
    probe, _, broken, _, successor = Fragile.built
    assert probe.closed and broken.closed and not successor.closed
    assert broken.seed == BAD_SEED and successor.seed not in SEEDS
    env.close()
    assert all(single.closed for single in Fragile.built)


def test_a_break_in_the_first_reset_is_reported_with_the_first_step():
    env = make_fragile("first reset")
    first = env.reset()
    assert first.tolist() == [[0.0, 0.0]] * 3
    result = env.step(np.zeros(3, dtype=np.int64))
    assert result.valid.all()
    assert result.faults == ("environment 1 of 3 (Fragile-v0) was replaced: OSError: no reset",)
    env.close()


def test_a_break_in_a_later_reset_costs_only_the_transition_that_resets():
    env = make_fragile("second reset")
    results = play(env, 7)
    assert [len(result.faults) for result in results] == [0, 0, 0, 0, 0, 1, 0]
    assert not results[5].valid.any() and results[5].is_first.all()
    assert results[6].valid.all()
    env.close()


def test_an_environment_that_never_starts_is_given_up():
    env = make_fragile("every reset")
    with pytest.raises(RuntimeError, match=rf"environment 0 of 3 \(Fragile-v0\) .* {MAX_TRIES} tries: OSError"):
        env.reset()
    assert len(Fragile.built) == 1 + len(SEEDS) + MAX_TRIES


def test_where_names_the_environment_that_is_being_stepped(monkeypatch):
    env, seen = make_fragile("none"), []
    monkeypatch.setattr(Fragile, "on_step", staticmethod(lambda: seen.append(env.where())))
    play(env, 1)
    assert seen == [f"environment {index} of 3 (Fragile-v0)" for index in range(3)]
    env.close()


def test_images_are_shown_channels_first():
    """A game of Atari through gymnasium's own interface: [210, 160, 3] there."""
    gymnasium.register_envs(ale_py)
    env = GymnasiumVectorEnv(env_id="ALE/Pong-v5", seeds=SEEDS[:1])
    assert (env.spec.observation_shape, env.spec.observation_dtype) == ((3, 210, 160), "uint8")
    plain = gymnasium.make("ALE/Pong-v5")
    expected, _ = plain.reset(seed=int(SEEDS[0]))
    np.testing.assert_array_equal(env.reset()[0], expected.transpose(2, 0, 1))
    for _ in range(20):
        expected, *_ = plain.step(0)
        np.testing.assert_array_equal(env.step(np.zeros(1, np.int64)).observation[0], expected.transpose(2, 0, 1))
    assert expected.max() > 0
    env.close()
    plain.close()


@pytest.mark.parametrize(
    ("shape", "shown"),
    [((40, 36, 3), (3, 40, 36)), ((40, 36, 1), (1, 40, 36)), ((4, 84, 84), (4, 84, 84)), ((40, 36), (40, 36))],
)
def test_only_images_with_their_channels_last_are_turned(shape, shown):
    env = GymnasiumVectorEnv(env_id="Shaped-v0", seeds=SEEDS, kwargs={"shape": shape})
    observation = env.reset()
    assert env.spec.observation_shape == shown
    assert observation.shape == env.step(np.zeros(3, np.int64)).observation.shape == (3, *shown)
    env.close()


@pytest.mark.parametrize(("dtype", "expected"), [("float64", "float32"), ("uint8", "uint8"), ("bool", "uint8")])
def test_floats_become_float32_truth_values_uint8_and_uint8_stays(dtype, expected):
    env = make_fragile("none", dtype=dtype)
    result = play(env, 1)[0]
    assert env.spec.observation_dtype == expected and result.observation.dtype == expected
    assert result.observation.tolist() == [[1, 1]] * 3
    env.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"env_id": "Recording-v0", "kwargs": {"space": Box(-1, 1, (2, 3))}}, "one-dimensional Box of floats"),
        ({"env_id": "Recording-v0", "kwargs": {"space": Box(0, 9, (2,), np.int64)}}, "action space"),
        ({"env_id": "Recording-v0", "kwargs": {"space": MultiDiscrete([2, 3])}}, "action space"),
        ({"env_id": "HalfCheetah-v2"}, "cannot build 'HalfCheetah-v2'.*moved"),
        ({"env_id": "FrozenLake-v1"}, "observation space"),
        ({"env_id": "Fragile-v0", "kwargs": {"dtype": "int32"}}, "observation space"),
        ({"env_id": "CartPool-v1"}, "cannot build 'CartPool-v1'"),
        ({"env_id": "antigravity:CartPole-v1"}, "names a module to import"),
        ({"env_id": "CartPole-v1", "kwargs": {"gravitas": 1}}, "gravitas"),
        ({"env_id": "CartPole-v1", "max_episode_steps": 0}, "max_episode_steps"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*out of date")
def test_bad_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        GymnasiumVectorEnv(seeds=SEEDS, **arguments)
