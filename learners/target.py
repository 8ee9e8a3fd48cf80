"""A network that follows another one slowly."""

import copy
from typing import Any

import torch
from torch import nn

from learners.state import check_fits, load_arrays, named_arrays


class TargetNetwork:
    """A copy of a network, moved towards it now and then: θ̃ ← θ̃ + τ (θ − θ̃).

    Args:
      online: the network; the copy is made on its device.
      every: updates (or epochs: whatever `follow` counts) between two moves.
      tau: τ in (0, 1]; 1 copies.
    """

    def __init__(self, online: nn.Module, *, every: int, tau: float):
        self.model = copy.deepcopy(online).requires_grad_(False)
        self._online, self._every, self._tau = online, every, tau

    @torch.no_grad()
    def follow(self, updates: int) -> None:
        """After that many updates in all: move, if it is time."""
        if updates % self._every:
            return
        for own, online in zip(self.model.parameters(), self._online.parameters(), strict=True):
            own.lerp_(online, self._tau)

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
