"""What a bonus is a function of: views of the observations that transitions lead to."""

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from learners.parts import in_parts
from learners.target import TargetNetwork
from rl_platform.core.categories import CategoryPlanes


class InputView(Protocol):
    """What the networks read of observations."""

    shape: tuple[int, ...]
    """Of one input."""

    def __call__(self, observation: Tensor) -> Tensor:
        """Observations as the network sees them [T, B, …] → inputs [T, B, *shape] of any numeric type."""

    def follow(self) -> None:
        """An epoch has ended: catch up with the network."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class ObservationView:
    """Observations themselves: of stacked frames the newest; of categories zeros and ones.

    Args:
      observation_shape: of one observation, [C, …].
      frame_stack: S; the S channels are frames if it exceeds 1.
      categories: numbers of values of each channel, as `models.encoders.grid_cnn`; empty: channels are numbers.
    """

    def __init__(self, observation_shape: tuple[int, ...], *, frame_stack: int, categories: tuple[int, ...] = ()):
        channels, *sides = observation_shape
        self._newest = frame_stack > 1
        self._planes = CategoryPlanes(categories) if categories else None
        self.shape = (1 if self._newest else sum(categories) or channels, *sides)

    def __call__(self, observation: Tensor) -> Tensor:
        if self._newest:
            return observation[:, :, -1:]
        if self._planes is None:
            return observation
        return self._planes.to(observation.device)(observation).byte()

    def follow(self) -> None:
        """There is nothing to catch up with."""

    def state_dict(self) -> dict[str, Any]:
        """None of its own."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """There is nothing to restore."""


class EmbeddingView:
    """What an encoder represents observations as, without gradient (Modified RND).

    Args:
      encoder: the policy's own, with `represent` and `representation_shape`.
      prepared: what observations go through before the encoder; None: nothing.
      tau: τ of a copy that is read instead, moved θ' ← θ' + τ (θ − θ') after every `every` epochs; None: no copy.
    """

    def __init__(self, encoder: nn.Module, *, prepared: nn.Module | None = None, tau: float | None = None,
                 every: int = 1):  # fmt: skip
        self.shape: tuple[int, ...] = encoder.representation_shape
        self._copy = None if tau is None else TargetNetwork(encoder, every=every, tau=tau)
        self._read = encoder if self._copy is None else self._copy.model
        self._prepared, self._epochs = prepared, 0

    @torch.no_grad()
    def __call__(self, observation: Tensor) -> Tensor:
        return in_parts(self._represented, observation.flatten(0, 1)).view(*observation.shape[:2], *self.shape)

    def _represented(self, rows: Tensor) -> Tensor:
        return self._read.represent(rows if self._prepared is None else self._prepared(rows)).float()

    def follow(self) -> None:
        """Move the copy, if there is one and it is time."""
        self._epochs += 1
        if self._copy is not None:
            self._copy.follow(self._epochs)

    def state_dict(self) -> dict[str, Any]:
        """The copy, by name, and how many epochs there were."""
        return {} if self._copy is None else {"encoder": self._copy.state_dict(), "epochs": self._epochs}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state` was taken.

        Raises:
          ValueError: the state of another encoder.
        """
        if self._copy is not None:
            self._copy.load_state_dict(state["encoder"])
            self._epochs = int(state["epochs"])
