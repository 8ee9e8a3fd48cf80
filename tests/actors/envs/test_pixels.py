"""Grey squares, and environments seen from outside."""

import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from actors.envs.gymnasium_env import GymnasiumVectorEnv
from actors.envs.pixels import PixelView, grey, square

SEEDS = np.array([1, 2], np.int32)


class Drawn(gymnasium.Env):
    """Draws what it is told to."""

    action_space, observation_space = Discrete(2), Box(-1, 1, (3,), np.float32)

    def __init__(self, picture):
        self.picture = picture

    def reset(self, *, seed=None, options=None):
        return np.zeros(3, np.float32), {}

    def step(self, action):
        return np.zeros(3, np.float32), 1.0, False, False, {}

    def render(self):
        return self.picture


def test_grey_weighs_colours_as_the_eye_does():
    """ITU-R 601: 0.299, 0.587, 0.114 of 255, rounded."""
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [10, 10, 10]]], np.uint8)
    assert grey(colours).tolist() == [[76, 150, 29, 255, 10]]


@pytest.mark.parametrize(("source", "size"), [((8, 8), 2), ((6, 4), 2), ((10, 15), 5), ((9, 9), 3)])
def test_a_square_has_the_means_of_areas(source, size):
    frame = np.random.default_rng(0).integers(0, 256, source, dtype=np.uint8)
    height, width = source[0] // size, source[1] // size
    mean = frame.reshape(size, height, size, width).mean(axis=(1, 3))
    assert np.abs(square(frame, size) - mean).max() <= 1  # Pillow rounds once for each axis


def test_a_thin_line_is_still_there():
    """Five times smaller: OpenCV's default interpolation would not have looked at it."""
    frame = np.full((420, 420), 255, np.uint8)
    frame[:, 200] = 0
    assert (square(frame, 84)[:, 40] == 204).all()


def test_the_picture_is_what_is_observed():
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:20] = 255
    env = PixelView(Drawn(picture), 4)
    first, _ = env.reset()
    assert first.tolist() == [[255] * 4] * 2 + [[0] * 4] * 2
    env.unwrapped.picture = picture[::-1]
    observation, reward, terminated, truncated, _ = env.step(0)
    assert observation.tolist() == [[0] * 4] * 2 + [[255] * 4] * 2
    assert (reward, terminated, truncated) == (1.0, False, False)


@pytest.mark.parametrize(
    "picture", [None, np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4, 1), np.uint8)]
)
def test_an_environment_that_draws_no_colours_is_refused(picture):
    with pytest.raises(ValueError, match=r"draws no colour picture; leave env\.pixels out"):
        PixelView(Drawn(picture), 4)


def test_cartpole_looks_as_it_does_to_a_person():
    pytest.importorskip("pygame")
    env = GymnasiumVectorEnv(env_id="CartPole-v1", seeds=SEEDS, kwargs={"render_mode": "rgb_array"}, image_size=84)
    assert (env.spec.observation_shape, env.spec.observation_dtype) == ((84, 84), "uint8")
    assert (env.reset()[0] == square(grey(env.render()), 84)).all()
    shown = env.step(np.array([1, 1])).observation
    assert (shown[0] == square(grey(env.render()), 84)).all()
    assert shown.min() < 128 < shown.max() == 255, "a dark cart on white"
    assert (shown[0] != shown[1]).any(), "two environments, two pictures"
    env.close()


def test_a_missing_pygame_is_one_line_that_says_what_to_install(monkeypatch):
    for module in [name for name in sys.modules if name == "pygame" or name.startswith("pygame.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "pygame", None)  # what Python takes for "there is none"
    with pytest.raises(ValueError, match=r"^'CartPole-v1' needs pygame \(.+\): pip install 'rl-platform\[pixels\]'$"):
        GymnasiumVectorEnv(env_id="CartPole-v1", seeds=SEEDS, kwargs={"render_mode": "rgb_array"}, image_size=84)
