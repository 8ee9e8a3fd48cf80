"""What tests ask of networks."""

import torch
from torch import Tensor, nn


def count(module: nn.Module) -> int:
    """Parameters."""
    return sum(map(torch.numel, module.parameters()))


def autocast(precision: torch.dtype) -> torch.autocast:
    """As a learner of this precision computes."""
    return torch.autocast("cpu", precision, enabled=precision != torch.float32)


def assert_orthogonal(weight: Tensor, gain: float) -> None:
    """The weight [outputs, …] has orthogonal rows, or columns where there are fewer, of length `gain`."""
    matrix = weight.detach().flatten(1)
    product = matrix @ matrix.T if len(matrix) <= matrix.shape[1] else matrix.T @ matrix
    torch.testing.assert_close(product, gain**2 * torch.eye(len(product)), atol=1e-5 * gain**2, rtol=0)
