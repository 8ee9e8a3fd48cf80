"""Single emulators against ALE's vector environment, to the bit, on real games; and the rooms that only they tell."""

import numpy as np
import pytest

from actors.envs.ale import AleVectorEnv
from actors.envs.ale_frames import AreaResize, area_taps, draw_below
from actors.envs.ale_single import AleSingleVectorEnv
from rl_platform.core.seeding import derive_seeds

SEEDS = derive_seeds(1, 2, "env", 0, 0)
FIELDS = ("observation", "reward", "terminated", "truncated", "valid", "is_first", "episode_end")
SETTINGS = {
    "pong": {"game": "pong", "max_episode_frames": 1200},
    "pong-odd-limit": {"game": "pong", "max_episode_frames": 399, "frame_skip": 3, "image_size": 64, "frame_stack": 2},
    "breakout-lives": {"game": "breakout", "life_loss_terminates": True, "sticky_actions": 0.25},
    "breakout-raw": {"game": "breakout", "noop_max": 0, "maxpool": False, "frame_skip": 1, "max_episode_frames": 700},
    "seaquest-all-actions": {"game": "seaquest", "full_action_space": True, "fire_reset": False, "noop_max": 77},
    "montezuma": {"game": "montezuma_revenge", "sticky_actions": 0.25, "max_episode_frames": 2000},
    "montezuma-limit-and-lives": {"game": "montezuma_revenge", "max_episode_frames": 611, "life_loss_terminates": True},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
def test_the_games_are_those_of_the_vector_environment(settings):
    env, reference = AleSingleVectorEnv(seeds=SEEDS, **settings), AleVectorEnv(seeds=SEEDS, **settings)
    assert env.spec == reference.spec
    ends, rewards, lives = 0, 0.0, 0
    np.testing.assert_array_equal(env.reset(), reference.reset())
    actions = np.random.default_rng(7).integers(0, env.spec.action.size, (1600, 2))
    for action in actions:
        step, expected = env.step(action), reference.step(action)
        for name in FIELDS:
            np.testing.assert_array_equal(getattr(step, name), getattr(expected, name), err_msg=name)
        ends, rewards = ends + step.episode_end.sum(), rewards + np.abs(step.reward).sum()
        lives += (step.terminated & ~step.episode_end).sum()
    assert ends >= 2, "too short: games must end, and begin again"
    assert rewards > 0 or settings["game"] == "montezuma_revenge"
    assert (lives > 0) == settings.get("life_loss_terminates", False)
    reference.close()


def test_the_same_seed_starts_the_same_games_again():
    env = AleSingleVectorEnv(game="montezuma_revenge", seeds=SEEDS, sticky_actions=0.25, room_byte=3)
    actions = np.random.default_rng(0).integers(0, 18, (60, 2))
    games = [(env.reset(), [env.step(action).observation for action in actions]) for _ in range(2)]
    np.testing.assert_array_equal(games[0][0], games[1][0])
    np.testing.assert_array_equal(games[0][1], games[1][1])


def test_rooms_are_told_only_where_asked_for():
    told = AleSingleVectorEnv(game="montezuma_revenge", seeds=SEEDS, room_byte=3)
    silent = AleSingleVectorEnv(game="montezuma_revenge", seeds=SEEDS)
    for env in (told, silent):
        env.reset()
    room = told.step(np.zeros(2, np.int64)).room
    assert (room.tolist(), room.dtype) == ([1, 1], np.int64)
    assert silent.step(np.zeros(2, np.int64)).room is None


@pytest.mark.parametrize(("source", "target"), [(210, 84), (160, 84), (160, 160), (210, 37), (160, 37)])
def test_every_target_pixel_averages_an_interval_of_the_source(source, target):
    taps = area_taps(source, target)
    np.testing.assert_allclose(taps.weights.sum(axis=0), 1.0, atol=1e-6)
    shares = np.zeros(source)
    np.add.at(shares, taps.sources, taps.weights)
    np.testing.assert_allclose(shares, target / source, atol=1e-3 * target / source)
    centres = (taps.sources * taps.weights).sum(axis=0) + 0.5
    np.testing.assert_allclose(centres, (np.arange(target) + 0.5) * source / target, atol=0.51)


def test_a_plain_frame_stays_plain():
    assert (AreaResize(84)(np.full((210, 160), 77, np.uint8)) == 77).all()


def test_numbers_below_a_limit_are_drawn_evenly():
    generator = np.random.RandomState(1)
    counts = np.bincount([draw_below(30, generator) for _ in range(6000)], minlength=30)
    assert len(counts) == 30
    np.testing.assert_allclose(counts, 200, atol=5 * np.sqrt(200))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"image_size": 161}, "image_size 161 .* 160 or less"),
        ({"threads": 2}, "threads 2: single emulators"),
        ({"game": "montezuma"}, "nearest is 'montezuma_revenge'"),
        ({"noop_max": -1}, "noop_max must be at least 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        AleSingleVectorEnv(**{"game": "pong", "seeds": SEEDS, **setting})
