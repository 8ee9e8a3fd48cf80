"""A network that follows another one slowly."""

import copy
from typing import Any

from torch import nn

from learners.state import check_fits, load_arrays, named_arrays
from rl_platform.core.flat import FlatParameters


class TargetNetwork:
    """A copy of a network, moved towards it every few updates: θ̃ ← θ̃ + τ (θ − θ̃).

    Args:
      online: its parameters are one flat vector already.
      every: updates between two moves.
      tau: τ in (0, 1]; 1 copies.
    """

    def __init__(self, online: nn.Module, parameters: FlatParameters, *, every: int, tau: float):
        self.model = copy.deepcopy(online).requires_grad_(False)
        self._flat, self._online = FlatParameters(self.model), parameters
        self._every, self._tau = every, tau

    def follow(self, updates: int) -> None:
        """After that many updates in all: move, if it is time."""
        if updates % self._every == 0:
            self._flat.vector.lerp_(self._online.vector, self._tau)

    def state_dict(self) -> dict[str, Any]:
        """Copies of the parameters, by name."""
        return named_arrays(self.model)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state` was taken.

        Raises:
          ValueError: the state of another network.
        """
        check_fits(self.model, state)
        load_arrays(self.model, state)
