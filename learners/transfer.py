"""From a batch's NumPy arrays to tensors on the learner's device."""

import numpy as np
import torch
from torch import Tensor

from rl_platform.core.types import Trajectory

_WITHOUT_TIME = ("memory", "previous_action", "previous_reward", "task")


def to_time_major(steps: Trajectory, device: torch.device) -> Trajectory:
    """Columns first ([B, T, …]) to time first ([T, B, …]) and to tensors; dtypes stay, so frames travel as bytes.

    The arrays are only read: they may lie in shared memory that others read too.
    """
    arrays = steps._asdict()
    return Trajectory(**{
        name: _tensor(array if name in _WITHOUT_TIME else array.swapaxes(0, 1), device) for name, array in arrays.items()
    })  # fmt: skip


def _tensor(array: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.array(array, order="C")).to(device)
