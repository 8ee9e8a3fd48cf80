"""From a batch's NumPy arrays to tensors on the learner's device."""

import numpy as np
import torch
from torch import Tensor

from rl_platform.core.types import PER_COLUMN, Trajectory


def to_time_major(steps: Trajectory, device: torch.device) -> Trajectory:
    """Columns first ([B, T, …]) to time first ([T, B, …]) and to tensors; dtypes stay, so frames travel as bytes.

    The arrays are only read: they may lie in shared memory that others read too.
    """
    columns_first = steps._asdict()
    time_first = {name: array.swapaxes(0, 1) for name, array in columns_first.items() if name not in PER_COLUMN}
    return Trajectory(**{name: _tensor(array, device) for name, array in (columns_first | time_first).items()})


def _tensor(array: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.array(array, order="C")).to(device)
