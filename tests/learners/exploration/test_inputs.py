"""What bonuses are functions of."""

import numpy as np
import pytest
import torch

from learners.exploration.inputs import ObservationView


def test_of_stacked_frames_the_newest_is_read():
    observation = torch.arange(2 * 3 * 4 * 5 * 5, dtype=torch.uint8).view(2, 3, 4, 5, 5)
    view = ObservationView((4, 5, 5), frame_stack=4)
    assert view.shape == (1, 5, 5)
    assert torch.equal(view(observation), observation[:, :, 3:])


@pytest.mark.parametrize("shape", [(3,), (3, 5, 5)])
def test_what_is_not_stacked_is_read_whole(shape: tuple[int, ...]):
    observation = torch.rand(2, 4, *shape)
    view = ObservationView(shape, frame_stack=1)
    assert view.shape == shape
    assert torch.equal(view(observation), observation)


def test_categories_are_read_as_zeros_and_ones():
    observation = torch.randint(0, 4, (2, 3, 2, 4, 5), dtype=torch.uint8)
    view = ObservationView((2, 4, 5), frame_stack=1, categories=(3, 4))
    expected = np.zeros((2, 3, 7, 4, 5), np.uint8)
    for time, column, channel, row, cell in np.ndindex(*observation.shape):
        value = int(observation[time, column, channel, row, cell])
        if value < (3, 4)[channel]:
            expected[time, column, (0, 3)[channel] + value, row, cell] = 1
    assert view.shape == (7, 4, 5)
    found = view(observation)
    assert found.dtype == torch.uint8
    np.testing.assert_array_equal(found, expected)
