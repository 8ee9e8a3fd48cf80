"""The convolutional encoder of Mnih et al. 2015 (Nature DQN)."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.trunk import channels_last, compute_dtype, start_orthogonal


class NatureCnn(nn.Module):
    """Convolutions 32·8/4, 64·4/2, 64·3/1, then linear layers, each followed by ReLU; channels-last throughout.

    Args:
      observation_shape: (channels, height, width), at least 36 × 36.
      observation_dtype: must be uint8; dividing by 255 happens in here.
      embedding: width of the last linear layer.
      hidden: widths of the linear layers before it.
      last_layer: what `represent` gives: the output of the last `linear` layer, or of the last `conv`olution.
    """

    reads = "uint8 images (channels, height, width) of at least 36 × 36"

    def __init__(self, observation_shape: tuple[int, ...], observation_dtype: str, *, embedding: int = 512,
                 hidden: Sequence[int] = (), last_layer: Literal["linear", "conv"] = "linear"):  # fmt: skip
        super().__init__()
        assert self.fits(observation_shape, observation_dtype), (observation_shape, observation_dtype)
        channels, height, width = observation_shape
        self.embedding = embedding
        self.conv1 = nn.Conv2d(channels, 32, 8, stride=4)
        self.conv2 = nn.Conv2d(32, 64, 4, stride=2)
        self.conv3 = nn.Conv2d(64, 64, 3, stride=1)
        maps = (64, _pixels(height), _pixels(width))
        widths = (math.prod(maps), *hidden)
        self.hidden = nn.Sequential()
        for inputs, outputs in pairwise(widths):
            self.hidden.append(nn.Linear(inputs, outputs))
            self.hidden.append(nn.ReLU(inplace=True))
        self.linear = nn.Linear(widths[-1], embedding)
        self.representation_shape = maps if last_layer == "conv" else (embedding,)
        self._last_layer = last_layer
        start_orthogonal(self)
        self.to(memory_format=torch.channels_last)

    @staticmethod
    def fits(observation_shape: tuple[int, ...], observation_dtype: str) -> bool:
        """Whether these are observations that it can read."""
        return len(observation_shape) == 3 and observation_dtype == "uint8" and min(observation_shape[1:]) >= 36

    def forward(self, observation: Tensor) -> Tensor:
        """[N, C, H, W] uint8 → [N, embedding] in the compute dtype."""
        return self._features(self._maps(observation))

    def represent(self, observation: Tensor) -> Tensor:
        """[N, C, H, W] uint8 → [N, *representation_shape] in the compute dtype."""
        maps = self._maps(observation)
        return maps if self._last_layer == "conv" else self._features(maps)

    def _maps(self, observation: Tensor) -> Tensor:
        """[N, C, H, W] uint8 → what the last convolution gives [N, 64, h, w]."""
        x = channels_last(observation).to(compute_dtype(self.conv1.weight))
        # The weights are divided by 255 in place of the pixels, of which there are thousands of times more.
        x = F.conv2d(x, self.conv1.weight * (1 / 255), self.conv1.bias, stride=4).relu_()
        x = self.conv2(x).relu_()
        return self.conv3(x).relu_()

    def _features(self, maps: Tensor) -> Tensor:
        """[N, 64, h, w] → [N, embedding]."""
        x = maps.permute(0, 2, 3, 1).flatten(1)  # a view, as channels come last
        return self.linear(self.hidden(x)).relu_()


def _pixels(side: int) -> int:
    """Side length after the three convolutions."""
    for kernel, stride in ((8, 4), (4, 2), (3, 1)):
        side = (side - kernel) // stride + 1
    return side
