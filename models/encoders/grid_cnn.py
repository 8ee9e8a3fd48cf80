"""Convolutions for grids of a few cells, whose channels mean things rather than colours."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from models.trunk import channels_last, compute_dtype, start_orthogonal
from rl_platform.core.categories import CategoryPlanes


class GridCnn(nn.Module):
    """Convolutions of the `channels` widths with stride 1 and one linear layer, each followed by ReLU; channels-last
    throughout.

    MinAtar's network (Young and Tian 2019) is channels (16,), kernel 3, embedding 128.

    Args:
      observation_shape: (channels, height, width), each side longer than the convolutions take off it.
      observation_dtype: any numeric type; values are used as they are.
      kernel: side of the convolutions' windows; there is no padding.
      embedding: width of the last layer.
      categories: numbers of values of each channel, as `CategoryPlanes`; empty: channels are numbers.
    """

    reads = "images (channels, height, width) larger than its convolutions"

    def __init__(self, observation_shape: tuple[int, ...], observation_dtype: str, *, channels: Sequence[int] = (16,),
                 kernel: int = 3, embedding: int = 128, categories: Sequence[int] = ()):  # fmt: skip
        super().__init__()
        assert self.fits(observation_shape, observation_dtype), (observation_shape, observation_dtype)
        planes, height, width = observation_shape
        lost = (kernel - 1) * len(channels)
        if min(height, width) <= lost:
            raise ValueError(
                f"{len(channels)} convolutions of {kernel} × {kernel} take {lost} off each side of images "
                f"of {height} × {width}; set model.encoder.channels to fewer, or kernel to less"
            )
        if categories and len(categories) != planes:
            raise ValueError(f"model.encoder.categories has {len(categories)} numbers, observations have {planes} "
                             "channels; give one for each, or none")  # fmt: skip
        self.embedding = embedding
        self.representation_shape = (self.embedding,)
        self.planes = CategoryPlanes(categories) if categories else nn.Identity()
        self.convolutions = nn.Sequential()
        for inputs, outputs in pairwise((sum(categories) or planes, *channels)):
            self.convolutions.append(nn.Conv2d(inputs, outputs, kernel))
            self.convolutions.append(nn.ReLU(inplace=True))
        self.linear = nn.Linear(channels[-1] * (height - lost) * (width - lost), embedding)
        start_orthogonal(self)
        self.to(memory_format=torch.channels_last)

    @staticmethod
    def fits(observation_shape: tuple[int, ...], observation_dtype: str) -> bool:
        """Whether these are observations that it can read."""
        return len(observation_shape) == 3

    def forward(self, observation: Tensor) -> Tensor:
        """[N, C, H, W] → [N, embedding] in the compute dtype."""
        dtype = compute_dtype(self.linear.weight)
        planes = channels_last(self.planes(observation)).to(dtype)
        return self.linear(self.convolutions(planes).flatten(1)).relu_()

    def represent(self, observation: Tensor) -> Tensor:
        """The embedding."""
        return self(observation)
