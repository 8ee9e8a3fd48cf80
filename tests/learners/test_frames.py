"""Frame stacks against a frame-by-frame simulation of what an environment shows."""

import pytest
import torch

from rl_platform.core.frames import stack_frames

HEIGHT, WIDTH = 3, 5


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
