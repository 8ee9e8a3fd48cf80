"""The convolutional encoder of Mnih et al. 2015 (Nature DQN)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.trunk import compute_dtype, start_orthogonal


class NatureCnn(nn.Module):
    """Convolutions 32·8/4, 64·4/2, 64·3/1 and one linear layer, each followed by ReLU; channels-last throughout.

    Args:
      observation_shape: (channels, height, width), at least 36 × 36.
      observation_dtype: must be uint8; dividing by 255 happens in here.
      embedding: width of the last layer.
    """

    reads = "uint8 images (channels, height, width) of at least 36 × 36"

    def __init__(self, observation_shape: tuple[int, ...], observation_dtype: str, *, embedding: int = 512):
        super().__init__()
        assert self.fits(observation_shape, observation_dtype), (observation_shape, observation_dtype)
        channels, height, width = observation_shape
        self.embedding = embedding
        self.conv1 = nn.Conv2d(channels, 32, 8, stride=4)
        self.conv2 = nn.Conv2d(32, 64, 4, stride=2)
        self.conv3 = nn.Conv2d(64, 64, 3, stride=1)
        self.linear = nn.Linear(64 * _pixels(height) * _pixels(width), embedding)
        start_orthogonal(self)
        self.to(memory_format=torch.channels_last)

    @staticmethod
    def fits(observation_shape: tuple[int, ...], observation_dtype: str) -> bool:
        """Whether these are observations that it can read."""
        return len(observation_shape) == 3 and observation_dtype == "uint8" and min(observation_shape[1:]) >= 36

    def forward(self, observation: Tensor) -> Tensor:
        """[N, C, H, W] uint8 → [N, embedding] in the compute dtype."""
        x = _channels_last(observation).to(compute_dtype(self.conv1.weight))
        # The weights are divided by 255 in place of the pixels, of which there are thousands of times more.
        x = F.conv2d(x, self.conv1.weight * (1 / 255), self.conv1.bias, stride=4).relu_()
        x = self.conv2(x).relu_()
        x = self.conv3(x).relu_()
        x = x.permute(0, 2, 3, 1).flatten(1)  # a view, as channels come last
        return self.linear(x).relu_()


def _channels_last(images: Tensor) -> Tensor:
    """[N, C, H, W] in channels-last memory format. Stacking takes a third of the time of `.to(memory_format=…)`."""
    if images.is_contiguous(memory_format=torch.channels_last):
        return images
    return torch.stack(images.unbind(1), dim=-1).movedim(-1, 1)


def _pixels(side: int) -> int:
    """Side length after the three convolutions."""
    for kernel, stride in ((8, 4), (4, 2), (3, 1)):
        side = (side - kernel) // stride + 1
    return side
