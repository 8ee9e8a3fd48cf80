"""What a bonus is a function of: views of the observations that transitions lead to."""

import copy
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from learners.state import check_fits, load_arrays, named_arrays

_MAX_OBSERVATIONS = 1024
"""Largest batch of one forward pass."""


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
        self._newest, self._categories = frame_stack > 1, categories
        self.shape = (1 if self._newest else sum(categories) or channels, *sides)

    def __call__(self, observation: Tensor) -> Tensor:
        if self._newest:
            return observation[:, :, -1:]
        if not self._categories:
            return observation
        planes = observation.long().split(1, dim=2)
        values = (torch.arange(k, device=observation.device) for k in self._categories)
        matches = [plane == v.view(-1, 1, 1) for plane, v in zip(planes, values, strict=True)]
        return torch.cat(matches, dim=2).to(torch.uint8)

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
        self._online, self._prepared, self._tau, self._every = encoder, prepared, tau, every
        self._read = encoder if tau is None else copy.deepcopy(encoder).requires_grad_(False)
        self._epochs = 0

    @torch.no_grad()
    def __call__(self, observation: Tensor) -> Tensor:
        rows = observation.flatten(0, 1)
        if self._prepared is not None:
            rows = self._prepared(rows)
        parts = [self._read.represent(part).float() for part in rows.split(_MAX_OBSERVATIONS)]
        return torch.cat(parts).view(*observation.shape[:2], *self.shape)

    @torch.no_grad()
    def follow(self) -> None:
        """Move the copy, if there is one and it is time."""
        self._epochs += 1
        if self._tau is None or self._epochs % self._every:
            return
        for copied, online in zip(self._read.parameters(), self._online.parameters(), strict=True):
            copied.lerp_(online, self._tau)

    def state_dict(self) -> dict[str, Any]:
        """The copy, by name, and how many epochs there were."""
        if self._tau is None:
            return {}
        return {"encoder": named_arrays(self._read), "epochs": self._epochs}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state` was taken.

        Raises:
          ValueError: the state of another encoder.
        """
        if self._tau is None:
            return
        check_fits(self._read, state["encoder"])
        load_arrays(self._read, state["encoder"])
        self._epochs = int(state["epochs"])
