"""All parameters of a module as one flat vector."""

import numpy as np
import torch
from torch import Tensor, nn


class FlatParameters:
    """Re-points every parameter of a module to a view of one flat vector [P], in the parameters' dtype.

    Publishing, loading, clipping, checking, stepping and reducing are then single vector operations. Each parameter
    keeps its memory format, so the vector of a module depends on how it was built: equal code, equal order.

    Moving the module to another device or dtype afterwards takes its parameters away from the vector: move it before.
    """

    def __init__(self, module: nn.Module):
        self._parameters = list(module.parameters())
        dtype, device = self._parameters[0].dtype, self._parameters[0].device
        assert all(parameter.dtype == dtype for parameter in self._parameters)
        self.vector = torch.empty(sum(map(torch.numel, self._parameters)), dtype=dtype, device=device)
        for parameter, view in zip(self._parameters, _views(self.vector, self._parameters), strict=True):
            view.copy_(parameter.data)
            parameter.data = view

    def send_gradients_to(self, gradient: Tensor) -> None:
        """From now on backward passes add to `gradient` [P], of the vector's dtype and device, in its order."""
        assert gradient.shape == self.vector.shape, (gradient.shape, self.vector.shape)
        for parameter, view in zip(self._parameters, _views(gradient, self._parameters), strict=True):
            parameter.grad = view

    def load(self, vector: np.ndarray) -> None:
        """Overwrite every parameter with `vector` [P], which may be read-only and is not kept.

        Raises:
          ValueError: the vector is another network's.
        """
        if vector.shape != tuple(self.vector.shape):
            raise ValueError(f"weights of shape {list(vector.shape)} do not fit a network with {len(self.vector)} "
                             "parameters: give actors and learner the same `model` section")  # fmt: skip
        if self.vector.device.type == "cpu":
            np.copyto(self.vector.numpy(), vector)
        else:
            self.vector.copy_(torch.tensor(vector))  # tensor, not from_numpy: that warns of read-only arrays

    def numpy(self, count: int | None = None) -> np.ndarray:
        """A copy [P] in float32, in which weights travel; of the first `count` numbers alone, if it is given."""
        return np.array(self.vector[:count].numpy(force=True), dtype=np.float32)


def _views(vector: Tensor, parameters: list[nn.Parameter]) -> list[Tensor]:
    """Consecutive pieces of `vector`, each with the shape and the strides of its parameter."""
    pieces = vector.split([parameter.numel() for parameter in parameters])
    return [
        piece.as_strided(parameter.shape, _dense(parameter).stride(), piece.storage_offset())
        for piece, parameter in zip(pieces, parameters, strict=True)
    ]


def _dense(parameter: nn.Parameter) -> Tensor:
    """Like `parameter`, but certainly without gaps (an expanded or sliced tensor has them)."""
    return torch.empty_like(parameter, device="meta")
