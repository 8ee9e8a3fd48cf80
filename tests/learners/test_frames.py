"""Frame stacks against a frame-by-frame simulation of what an environment shows, and against what ALE shows."""

import numpy as np
import pytest
import torch

from actors.envs.ale import AleVectorEnv
from actors.rollout_worker import RolloutWorker
from actors.uniform_policy import UniformPolicy
from learners.transfer import BatchTransfer
from replay.queue import QueueSource
from rl_platform.core.frames import stack_frames
from rl_platform.core.seeding import derive_seeds
from rl_platform.core.types import Weights
from tests.gpu import needs_gpu

HEIGHT, WIDTH = 3, 5
ENVS, LENGTH, UNROLLS = 4, 7, 150
COLUMNS, STACK = 3, 4  # columns of a batch do not divide an unroll's, so that batches straddle unrolls


def shown(frames, is_first, stack):
    """Every stack as the environment would show it: kept as a list, emptied to zeros at each episode's start."""
    times, columns = is_first.shape
    result = torch.empty(times, columns, stack, HEIGHT, WIDTH, dtype=frames.dtype)
    for column in range(columns):
        window = list(frames[: stack - 1, column])
        for time in range(times):
            if is_first[time, column]:
                window = [torch.zeros_like(frames[0, 0])] * (stack - 1)
            window = [*window, frames[stack - 1 + time, column]][-stack:]
            result[time, column] = torch.stack(window)
    return result


def random_frames(times, columns, stack, seed=0):
    shape = (times + stack - 1, columns, HEIGHT, WIDTH)
    return torch.randint(1, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("stack", [1, 2, 4])
@pytest.mark.parametrize("reset_rate", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("times", [2, 3, 21])
def test_equals_what_the_environment_shows(stack, reset_rate, times):
    columns = 6
    frames = random_frames(times, columns, stack)
    is_first = torch.rand(times, columns, generator=torch.Generator().manual_seed(1)) < reset_rate
    stacks = stack_frames(frames, is_first, stack)
    assert stacks.dtype == torch.uint8
    assert torch.equal(stacks, shown(frames, is_first, stack))
    some = torch.arange(0, times, 2)
    assert torch.equal(stack_frames(frames, is_first, stack, some), stacks[some])


def test_literal_with_a_reset_in_the_middle():
    """Frames 1…7, history 1, 2, 3; the episode of frame 6 starts at time 2."""
    frames = torch.arange(1, 8, dtype=torch.uint8).view(7, 1, 1, 1)
    is_first = torch.tensor([[False], [False], [True], [False]])
    assert stack_frames(frames, is_first, 4).view(4, 4).tolist() == [
        [1, 2, 3, 4],
        [2, 3, 4, 5],
        [0, 0, 0, 6],
        [0, 0, 6, 7],
    ]


def test_history_before_a_first_observation_is_not_shown():
    frames = torch.arange(1, 7, dtype=torch.uint8).view(6, 1, 1, 1)
    is_first = torch.tensor([[True], [False], [True]])
    assert stack_frames(frames, is_first, 4).view(3, 4).tolist() == [[0, 0, 0, 4], [0, 0, 4, 5], [0, 0, 0, 6]]


def test_consecutive_unrolls_continue_each_other():
    """Cutting a stream in two, with the last S − 1 frames carried over as history, shows the same stacks."""
    frames = random_frames(times=12, columns=3, stack=4)
    is_first = torch.zeros(12, 3, dtype=torch.bool)
    is_first[4, 0] = is_first[8, 1] = True
    whole = stack_frames(frames, is_first, 4)
    assert torch.equal(stack_frames(frames[:10], is_first[:7], 4), whole[:7])
    second = torch.cat([whole[7, :, :3].movedim(1, 0), frames[10:]])
    assert torch.equal(stack_frames(second, is_first[7:], 4), whole[7:])


def test_frames_are_not_changed_and_the_format_is_channels_last():
    frames = random_frames(times=4, columns=2, stack=4)
    copy = frames.clone()
    stacks = stack_frames(frames, torch.ones(4, 2, dtype=torch.bool), 4)
    assert torch.equal(frames, copy)
    assert stacks.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)


def test_a_missing_history_is_refused():
    with pytest.raises(AssertionError):
        stack_frames(random_frames(times=4, columns=2, stack=1), torch.zeros(4, 2, dtype=torch.bool), 4)


class Recorded:
    """A real environment that remembers what it showed; its arrays are new at every step."""

    def __init__(self, env):
        self.env = env
        self.spec, self.num_envs = env.spec, env.num_envs

    def reset(self):
        first = self.env.reset()
        self.shown, self.is_first, self.life_losses = [first], [np.ones(self.num_envs, bool)], 0
        return first

    def step(self, action):
        result = self.env.step(action)
        self.shown.append(result.observation)
        self.is_first.append(result.is_first)
        self.life_losses += np.count_nonzero(result.terminated & ~result.episode_end)
        return result


def real_unrolls(game, max_episode_frames):
    """The environment, what of it is known, and its unrolls, each valid until the next."""
    env = Recorded(AleVectorEnv(game=game, seeds=derive_seeds(1, ENVS, "env", 0, 0), life_loss_terminates=True,
                                max_episode_frames=max_episode_frames))  # fmt: skip
    actions = env.spec.action.size
    policy = UniformPolicy(env.spec.action, seed=2)
    worker = RolloutWorker(env, policy, unroll_length=LENGTH, num_params=actions, num_values=1, actor=0,
                           incarnation=0, task=np.zeros(ENVS, np.int32))  # fmt: skip
    return env, (worker.collect(Weights(0, np.zeros(1, np.float32)))[0] for _ in range(UNROLLS))


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_gpu)])
@pytest.mark.parametrize(
    ("game", "max_episode_frames", "has_lives"),
    [("pong", 900, False), ("breakout", 108_000, True), ("montezuma_revenge", 1200, True)],
)
def test_the_learner_sees_what_ale_showed(game, max_episode_frames, has_lives, device):
    """Thousands of real steps, the whole road: builder, queue, batches that straddle unrolls, the learner's device."""
    env, unrolls = real_unrolls(game, max_episode_frames)
    queue, transfer = (
        QueueSource(ENVS + COLUMNS, overflow="block", max_policy_lag=0),
        BatchTransfer(torch.device(device)),
    )
    compared = 0
    for unroll in unrolls:
        queue.insert(unroll)
        while len(queue) >= COLUMNS:
            steps = transfer.to_time_major(queue.ring.read(queue.draw(COLUMNS)))
            stacks = stack_frames(steps.observation, steps.is_first, STACK).numpy(force=True)
            for column in range(COLUMNS):
                number, index = divmod(compared, ENVS)
                times = slice(number * LENGTH, (number + 1) * LENGTH + 1)
                expected = np.stack([observation[index] for observation in env.shown[times]])
                np.testing.assert_array_equal(stacks[:, column], expected)
                compared += 1
    env.env.close()
    assert compared * LENGTH >= 4000
    is_first = np.stack(env.is_first)
    assert is_first[1:].any(axis=0).all(), "too short: every environment must reset"
    assert (env.life_losses > 0) == has_lives
    borders = np.arange(LENGTH, len(is_first) - 1, LENGTH)
    assert any(is_first[borders - back].any() for back in range(STACK)), "no reset in the history of an unroll"
