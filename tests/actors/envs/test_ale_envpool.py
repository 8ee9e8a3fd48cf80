"""Atari through EnvPool: what differs from ALE's vector environment is mended or refused."""

import numpy as np
import pytest
import torch

from actors.envs.ale import AleVectorEnv
from actors.envs.ale_envpool import AleEnvpoolVectorEnv
from rl_platform.core.frames import stack_frames
from rl_platform.core.seeding import derive_seeds

pytest.importorskip("envpool")
SEEDS = derive_seeds(1, 2, "env", 0, 0)


def test_the_spec_is_that_of_the_vector_environment():
    for settings in ({"game": "montezuma_revenge"}, {"game": "pong", "full_action_space": True, "image_size": 64}):
        env, reference = AleEnvpoolVectorEnv(seeds=SEEDS, **settings), AleVectorEnv(seeds=SEEDS, **settings)
        assert env.spec == reference.spec
        reference.close()
        env.close()


def test_stacks_are_those_that_single_frames_give():
    """Over several games: `stack_frames` rebuilds what was shown from the newest frames and `is_first`."""
    env = AleEnvpoolVectorEnv(game="pong", seeds=SEEDS, max_episode_frames=40)
    shown, is_first = [env.reset()], [np.ones(2, bool)]
    for action in np.random.default_rng(0).integers(0, env.spec.action.size, (40, 2)):
        step = env.step(action)
        shown.append(step.observation)
        is_first.append(step.is_first)
    assert np.sum(is_first) >= 6
    history = np.concatenate([shown[0].swapaxes(0, 1), np.stack([observation[:, -1] for observation in shown[1:]])])
    rebuilt = stack_frames(torch.from_numpy(history), torch.from_numpy(np.stack(is_first)), 4)
    np.testing.assert_array_equal(rebuilt.numpy(), np.stack(shown))
    env.close()


def test_a_life_loss_terminates_but_does_not_reset():
    env = AleEnvpoolVectorEnv(game="breakout", seeds=SEEDS, life_loss_terminates=True)
    env.reset()
    losses, ends = 0, 0
    for action in np.random.default_rng(7).integers(0, env.spec.action.size, (700, 2)):
        step = env.step(action)
        losses, ends = losses + (step.terminated & ~step.episode_end).sum(), ends + step.episode_end.sum()
    assert ends >= 2
    assert losses >= 3 * ends  # five lives a game, of which the last ends it
    env.close()


def test_rooms_are_told_where_asked_for():
    env = AleEnvpoolVectorEnv(game="montezuma_revenge", seeds=SEEDS, room_byte=3)
    env.reset()
    step = env.step(np.zeros(2, np.int64))
    assert (step.room.tolist(), step.room.dtype) == ([1, 1], np.int64)
    env.close()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"noop_max": 0}, "noop_max must be at least"),
        ({"maxpool": False}, "maxpool true"),
        ({"max_episode_frames": 4001}, "multiples of frame_skip"),
    ],
)
def test_what_envpool_cannot_do_is_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        AleEnvpoolVectorEnv(**{"game": "pong", "seeds": SEEDS, **setting})
