"""The picture that a person would see, of environments that draw themselves."""

from typing import Protocol

import numpy as np


class Rendering(Protocol):
    """An environment that can draw its first copy."""

    def render(self) -> np.ndarray:
        """[H, W, 3] uint8."""


class RenderedScreen:
    """Shows the first of the environments, which draws itself."""

    def __init__(self, env: Rendering):
        self._env = env

    def picture(self) -> np.ndarray:
        """[H, W, 3] uint8."""
        return self._env.render()

    def step(self, action: np.ndarray) -> None:
        """The environment itself is shown: there is nothing to follow."""
