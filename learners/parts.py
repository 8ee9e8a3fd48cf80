"""Forward passes without gradient over more than memory should hold at once."""

from collections.abc import Callable

import torch
from torch import Tensor

MAX_ROWS = 1024
"""Largest batch of one pass: on a CPU activations stay near the cache, on a GPU it is busy."""


def in_parts(function: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """What `function` makes of rows [N, …], each on its own, at most `MAX_ROWS` at a time."""
    return torch.cat([function(part) for part in rows.split(MAX_ROWS)])
