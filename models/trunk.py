"""What encoders share: how layers start, which dtype they compute in, and how images lie in memory."""

import math

import torch
from torch import Tensor, nn


def start_orthogonal(layers: nn.Module) -> None:
    """Orthogonal weights with gain √2 and zero biases in every linear and convolutional layer (Saxe et al. 2014)."""
    for layer in layers.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.orthogonal_(layer.weight, math.sqrt(2))
            nn.init.zeros_(layer.bias)


def compute_dtype(weight: Tensor) -> torch.dtype:
    """The dtype that a layer with this weight multiplies in: autocast's where it is on, else the weight's."""
    device = weight.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype


def channels_last(images: Tensor) -> Tensor:
    """[N, C, H, W] in channels-last memory format. Stacking takes a third of the time of `.to(memory_format=…)`.

    Images of one channel are in both formats at once; their strides say which one convolutions go by.
    """
    if images.shape[1] == 1:
        return images.squeeze(1).unsqueeze(-1).movedim(-1, 1)
    if images.is_contiguous(memory_format=torch.channels_last):
        return images
    return torch.stack(images.unbind(1), dim=-1).movedim(-1, 1)
