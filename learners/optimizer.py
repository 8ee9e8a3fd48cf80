"""Optimisers over one flat vector."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

OptimizerFactory = Callable[[list[Tensor]], torch.optim.Optimizer]
"""Parameters → optimiser; its learning rate is set before each step."""


def rmsprop(*, alpha: float = 0.99, epsilon: float = 0.01, momentum: float = 0.0) -> OptimizerFactory:
    """g/(√s + ε) with s the running mean of g², decay α: ε outside the root, unlike TensorFlow's."""
    return partial(torch.optim.RMSprop, alpha=alpha, eps=epsilon, momentum=momentum, foreach=False)


def adam(*, betas: tuple[float, float] = (0.9, 0.999), epsilon: float = 1e-8) -> OptimizerFactory:
    """Adam (Kingma and Ba 2015), its step fused into one pass."""
    return partial(torch.optim.Adam, betas=betas, eps=epsilon, fused=True)


class FlatOptimizer:
    """A PyTorch optimiser that moves `vector` [P] along `gradient` [P]; both are shared with their owner."""

    def __init__(self, factory: OptimizerFactory, vector: Tensor, gradient: Tensor):
        self._vector = vector.detach().requires_grad_()
        self._vector.grad = gradient
        self._optimizer = factory([self._vector])

    def step(self, learning_rate: float) -> None:
        """One step, in place."""
        self._optimizer.param_groups[0]["lr"] = learning_rate
        self._optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """The optimiser's kind, and copies of its tensors by name, e.g. `square_avg` [P] (none before a step)."""
        tensors = self._optimizer.state[self._vector]
        arrays = {name: np.array(tensor.numpy(force=True)) for name, tensor in tensors.items()}
        return {"kind": self._kind, "tensors": arrays}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue exactly where `state` was taken.

        Raises:
          ValueError: the state of another kind of optimiser, or of another network's.
        """
        if state["kind"] != self._kind:
            raise ValueError(f"the saved optimiser is {state['kind']}, not {self._kind}: keep learner.optimizer.kind")
        tensors = {name: torch.tensor(array) for name, array in state.get("tensors", {}).items()}
        for name, tensor in tensors.items():
            if tensor.ndim and tensor.shape != self._vector.shape:
                raise ValueError(f"the saved optimiser's {name} has {tensor.numel()} elements, but the network has "
                                 f"{len(self._vector)} parameters: keep the `model` section")  # fmt: skip
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": {0: tensors} if tensors else {}})

    @property
    def _kind(self) -> str:
        return type(self._optimizer).__name__
