"""From a batch's NumPy arrays to tensors on the learner's device."""

import numpy as np
import torch
from torch import Tensor

from rl_platform.core.types import Trajectory, axes_swapped


class BatchTransfer:
    """Brings batches to `device`.

    To a GPU they go through page-locked memory and a stream of their own, so that the copies are the device's work
    and not this thread's; the stream that computes waits for them on the device.
    """

    def __init__(self, device: torch.device):
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def to_time_major(self, steps: Trajectory) -> Trajectory:
        """Columns first ([B, T, …]) to time first ([T, B, …]) and to tensors; dtypes stay, so frames travel as bytes.

        The arrays are only read: they may lie in shared memory that others read too.
        """
        arrays = axes_swapped(steps)
        if self._stream is None:
            return Trajectory(*(torch.from_numpy(np.array(array, order="C")).to(self._device) for array in arrays))
        return self._staged([_page_locked(array) for array in arrays], self._stream)

    def _staged(self, tensors: list[Tensor], stream: torch.cuda.Stream) -> Trajectory:
        computing = torch.cuda.current_stream(self._device)
        with torch.cuda.stream(stream):
            copies = [tensor.to(self._device, non_blocking=True) for tensor in tensors]
        computing.wait_stream(stream)
        for copy in copies:  # allocated on one stream, used on another: not to be reused before that use has ended
            copy.record_stream(computing)
        return Trajectory(*copies)


def _page_locked(array: np.ndarray) -> Tensor:
    """A copy in page-locked memory, which torch keeps until a copy from it that is under way has ended."""
    dtype = torch.from_numpy(np.empty(0, array.dtype)).dtype
    tensor = torch.empty(array.shape, dtype=dtype, pin_memory=True)
    np.copyto(tensor.numpy(), array)
    return tensor
