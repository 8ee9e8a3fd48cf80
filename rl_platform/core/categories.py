"""Planes of categories, such as MiniGrid's objects and colours, as planes of zeros and ones."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class CategoryPlanes(nn.Module):
    """One plane for each value of each channel: 1 where the channel has that value. It learns nothing.

    Args:
      categories: numbers of values K_c of each channel, whose cells hold one of 0 … K_c − 1; other values are zeros in
        all of its planes.
    """

    def __init__(self, categories: Sequence[int]):
        super().__init__()
        self.register_buffer("_value", torch.cat([torch.arange(k) for k in categories]), persistent=False)
        of_channel = torch.arange(len(categories)).repeat_interleave(torch.tensor(tuple(categories)))
        self.register_buffer("_channel", of_channel, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[…, C, H, W] of any numeric type → […, ΣK, H, W] bool, channels-last in memory, as convolutions like it."""
        values = self._value.to(x.dtype)  # of two dtypes, == would first copy all planes into the wider one
        cells = x.movedim(-3, -1).contiguous()  # few channels are cheap to lay out anew
        return (cells.index_select(-1, self._channel) == values).movedim(-1, -3)
