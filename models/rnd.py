"""The two networks of random network distillation: a fixed random one, and one that learns to predict it."""

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.trunk import channels_last, compute_dtype, start_orthogonal

_PREDICTOR_LAYERS = 2
"""What the predictor has more than the target, so that it can be everything that the target is (Burda et al. 2019)."""


class RndNetworks(NamedTuple):
    """[N, *input_shape] normalised → [N, num_outputs] float32 each."""

    target: nn.Module
    """Stays as it was made; its parameters need no gradient."""
    predictor: nn.Module


def build_rnd(input_shape: tuple[int, ...], *, of_embedding: bool, num_outputs: int = 512, seed: int) -> RndNetworks:
    """Networks for one kind of input, on the CPU in float32; equal seeds give equal weights.

    Args:
      input_shape: of one input: an image or map [C, H, W], or a vector [D].
      of_embedding: inputs are what an encoder represents observations as, not observations themselves.
      num_outputs: what is predicted; the predictor's additional layers are as wide.
      seed: of the initial weights. The global generator is left as it was.
    """
    assert len(input_shape) in (1, 3), input_shape
    with torch.random.fork_rng(devices=[]):  # layers draw their weights from the global generator
        torch.default_generator.manual_seed(seed)
        target, predictor = (
            _Network(input_shape, of_embedding, (num_outputs,) * layers) for layers in (1, 1 + _PREDICTOR_LAYERS)
        )
    return RndNetworks(target.requires_grad_(False), predictor)


class _Network(nn.Module):
    """Convolutions and `_hidden` linear layers, each followed by LeakyReLU; linear layers with ReLU between them.

    Convolutions compute in the dtype of their weights, or in autocast's, channels-last; linear layers always in the
    dtype of their weights: bonuses are squares of small differences.

    Differs from Burda et al. 2019: LeakyReLU's slope is PyTorch's 0.01, as in rnd-repr, not TensorFlow's 0.2.
    """

    def __init__(self, input_shape: tuple[int, ...], of_embedding: bool, outputs: tuple[int, ...]):
        super().__init__()
        self.convolutions, self.linear = nn.Sequential(), nn.Sequential()
        for convolution in _convolutions(input_shape, of_embedding):
            self.convolutions.extend([convolution, nn.LeakyReLU(inplace=True)])
        inputs = self.convolutions(torch.zeros(1, *input_shape)).numel()
        hidden = _hidden(input_shape, of_embedding)
        for before, after in pairwise((inputs, *hidden, outputs[0])):
            self.linear.extend([nn.Linear(before, after), nn.LeakyReLU(inplace=True)])
        del self.linear[-1]  # outputs are not rectified
        for before, after in pairwise(outputs):
            self.linear.extend([nn.ReLU(inplace=True), nn.Linear(before, after)])
        start_orthogonal(self)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """[N, *input_shape] → [N, num_outputs]."""
        if len(self.convolutions):
            x = self.convolutions(channels_last(x.to(compute_dtype(self.convolutions[0].weight))))
            x = x.permute(0, 2, 3, 1).flatten(1)  # a view, as channels come last
        with torch.autocast(x.device.type, enabled=False):
            return self.linear(x.to(self.linear[0].weight.dtype))


def _convolutions(input_shape: tuple[int, ...], of_embedding: bool) -> list[nn.Conv2d]:
    """For images as large as an Atari screen, for grids of a few cells, for maps of an encoder; none for vectors."""
    if len(input_shape) == 1:
        return []
    channels, *sides = input_shape
    if of_embedding:
        return [nn.Conv2d(channels, 64, 2, padding=1), nn.Conv2d(64, 64, 2, padding=1), nn.Conv2d(64, 64, 2)]
    if min(sides) >= 36:
        return [nn.Conv2d(channels, 32, 8, stride=4), nn.Conv2d(32, 64, 4, stride=2), nn.Conv2d(64, 64, 3)]
    kernel = tuple(min(3, (side + 1) // 2) for side in sides)  # of a grid smaller than 5, two leave at least one cell
    return [nn.Conv2d(channels, 16, kernel), nn.Conv2d(16, 32, kernel)]


def _hidden(input_shape: tuple[int, ...], of_embedding: bool) -> tuple[int, ...]:
    """Widths of linear layers before the outputs."""
    if len(input_shape) == 3:
        return ()
    return (64, 128, 256) if of_embedding else (128, 128)
