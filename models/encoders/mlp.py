"""Fully connected layers for vector observations."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from models.trunk import compute_dtype, start_orthogonal


class Mlp(nn.Module):
    """Linear layers of the `hidden` widths, each followed by `activation`.

    Args:
      observation_shape: (length,).
      observation_dtype: any numeric type; values are used as they are.
    """

    reads = "vectors"

    def __init__(self, observation_shape: tuple[int, ...], observation_dtype: str, *, hidden: Sequence[int] = (64, 64),
                 activation: Literal["tanh", "relu"] = "tanh"):  # fmt: skip
        super().__init__()
        assert self.fits(observation_shape, observation_dtype), (observation_shape, observation_dtype)
        widths = (*observation_shape, *hidden)
        self.embedding = widths[-1]
        self.representation_shape = (self.embedding,)
        self.layers = nn.Sequential()
        for inputs, outputs in pairwise(widths):
            self.layers.append(nn.Linear(inputs, outputs))
            self.layers.append({"tanh": nn.Tanh, "relu": nn.ReLU}[activation]())
        start_orthogonal(self)

    @staticmethod
    def fits(observation_shape: tuple[int, ...], observation_dtype: str) -> bool:
        """Whether these are observations that it can read."""
        return len(observation_shape) == 1

    def forward(self, observation: Tensor) -> Tensor:
        """[N, length] → [N, embedding] in the compute dtype."""
        return self.layers(observation.to(compute_dtype(self.layers[0].weight)))

    def represent(self, observation: Tensor) -> Tensor:
        """The embedding."""
        return self(observation)
