"""A network's parameters as arrays by name: what checkpoints hold."""

import numpy as np
import torch
from torch import nn


def named_arrays(model: nn.Module) -> dict[str, np.ndarray]:
    """Copies of the parameters, in their dtype."""
    return {name: np.array(parameter.numpy(force=True), order="C") for name, parameter in model.named_parameters()}


def check_fits(model: nn.Module, arrays: dict[str, np.ndarray]) -> None:
    """Refuse the arrays of another network.

    Raises:
      ValueError: a name or a shape differs.
    """
    present = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    saved = {name: tuple(array.shape) for name, array in arrays.items()}
    different = sorted({name for name, _ in present.items() ^ saved.items()})
    if different:
        raise ValueError(f"the saved network differs in {different[0]}: keep the `model` section")


@torch.no_grad()
def load_arrays(model: nn.Module, arrays: dict[str, np.ndarray]) -> None:
    """Overwrite every parameter, in place."""
    for name, parameter in model.named_parameters():
        parameter.copy_(torch.tensor(arrays[name]))
