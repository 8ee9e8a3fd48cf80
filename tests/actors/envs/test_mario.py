"""Super Mario Bros.: frames, rewards and ends as the emulator has them."""

import numpy as np
import pytest

from actors.envs.mario import BUTTONS, Mario, MarioVectorEnv
from actors.envs.pixels import grey, square
from configs.mario_games import MARIO_GAMES

gym_super_mario_bros = pytest.importorskip("gym_super_mario_bros")
from gym.envs.registration import registry  # noqa: E402 — there where gym-super-mario-bros is
from gym_super_mario_bros.actions import COMPLEX_MOVEMENT  # noqa: E402
from nes_py.wrappers import JoypadSpace  # noqa: E402

NOOP, RUN, JUMP = 0, 3, 4
SEEDS = np.array([1, 2], np.int32)


def make(*, env_id: str = "SuperMarioBros-v0", frame_skip: int = 4, sticky_actions: float = 0.0,
         max_episode_frames: int = 18_000) -> Mario:  # fmt: skip
    return Mario(env_id, frame_skip, 84, sticky_actions, max_episode_frames)


def plain(env_id: str = "SuperMarioBros-v0") -> gym_super_mario_bros.SuperMarioBrosEnv:
    return gym_super_mario_bros.SuperMarioBrosEnv(**MARIO_GAMES[env_id]._asdict())


def test_games_are_those_of_the_registry():
    """But for the ones of random stages, which play 32 emulators at once."""
    theirs = {
        name: spec.kwargs
        for name, spec in registry.items()
        if name.startswith("SuperMarioBros") and "RandomStages" not in name
    }
    assert set(MARIO_GAMES) == set(theirs)
    for name, kwargs in theirs.items():
        assert MARIO_GAMES[name] == MARIO_GAMES[name]._replace(**kwargs), name


def test_actions_hold_down_the_buttons_of_complex_movement():
    bits = JoypadSpace._button_map
    assert [sum(bits[button] for button in buttons) for buttons in COMPLEX_MOVEMENT] == list(BUTTONS)


def test_a_step_is_four_frames_of_the_emulator():
    """Its reward is their sum, its frame the grey maximum of the last two, averaged over areas."""
    env, emulator = make(), plain()
    first, _ = env.reset(seed=1)
    np.testing.assert_array_equal(first, square(grey(emulator.reset()), 84))
    for action in [RUN] * 20 + [JUMP] * 5 + [NOOP] * 5:
        observation, reward, terminated, truncated, _ = env.step(action)
        frames, rewards = [], []
        for _ in range(4):
            screen, earned, over, _ = emulator.step(BUTTONS[action])
            frames.append(grey(screen))
            rewards.append(earned)
        np.testing.assert_array_equal(observation, square(np.maximum(*frames[-2:]), 84))
        assert (reward, terminated, truncated) == (sum(rewards), over, False)
        np.testing.assert_array_equal(env.render(), screen)
    assert env.render().shape == (240, 256, 3)


def test_running_to_the_right_is_rewarded():
    env = make()
    env.reset(seed=1)
    assert sum(env.step(RUN)[1] for _ in range(15)) > 30


def test_a_stage_ends_with_its_only_life():
    """Mario runs into the first enemy; the frames that were left of the step are not played."""
    env, emulator = make(env_id="SuperMarioBros-1-1-v0"), plain("SuperMarioBros-1-1-v0")
    env.reset(seed=1)
    emulator.reset()
    for _ in range(60):
        observation, reward, terminated, truncated, _ = env.step(RUN)
        rewards = []
        for _ in range(4):
            screen, earned, over, _ = emulator.step(BUTTONS[RUN])
            rewards.append(earned)
            if over:
                break
        assert (reward, terminated, truncated) == (sum(rewards), over, False)
        if over:
            break
    assert over and reward < -10
    np.testing.assert_array_equal(env.render(), screen)
    assert env.observation_space.contains(observation)


def test_a_whole_game_is_three_lives():
    """Running on loses each to the first enemy, and only deaths are punished."""
    env = make()
    env.reset(seed=1)
    rewards, over = [], False
    while not over:
        _, reward, over, _, _ = env.step(RUN)
        rewards.append(reward)
    assert len(rewards) < 100 and sum(reward < 0 for reward in rewards) == 3


def test_the_limit_counts_frames_and_truncates():
    env = make(max_episode_frames=10)
    for _ in range(2):  # also in the second game
        env.reset()
        ends = [env.step(NOOP)[2:4] for _ in range(3)]
        assert ends == [(False, False), (False, False), (False, True)]


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_sticky_actions_keep_the_buttons_of_the_frame_before(probability):
    """Always: those of the start, none."""
    sticky, emulator = make(sticky_actions=probability), plain()
    sticky.reset(seed=1)
    emulator.reset()
    for _ in range(15):
        sticky.step(RUN)
        for _ in range(4):
            emulator.step(BUTTONS[NOOP if probability else RUN])
    np.testing.assert_array_equal(sticky.render(), emulator.screen)


def test_a_sticky_game_is_that_of_its_seed():
    def game(seed: int) -> list[float]:
        env = make(sticky_actions=0.5, frame_skip=2)
        env.reset(seed=seed)
        rewards = [env.step(action)[1] for action in [RUN, 8] * 15]  # to the right and back
        env.close()
        return rewards

    assert game(1) == game(1) != game(2)


@pytest.mark.parametrize(("settings", "message"), [
    ({"sticky_actions": 1.5}, "a probability"), ({"frame_skip": 0}, "at least 1"), ({"image_size": 0}, "at least 1"),
])  # fmt: skip
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        MarioVectorEnv(env_id="SuperMarioBros-v0", seeds=SEEDS, **settings)


def test_the_spec_counts_frames():
    env = MarioVectorEnv(env_id="SuperMarioBros-v0", seeds=SEEDS, image_size=42)
    assert (env.spec.observation_shape, env.spec.frame_skip, env.spec.action.size) == ((42, 42), 4, 12)
    env.close()
