"""Pictures that people see as grey squares that networks see."""

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from PIL import Image


def grey(picture: np.ndarray) -> np.ndarray:
    """[H, W, 3] uint8 → [H, W] uint8: 0.299 red + 0.587 green + 0.114 blue (ITU-R 601), as ALE's grey."""
    return np.asarray(Image.fromarray(np.ascontiguousarray(picture)).convert("L"))


def square(frame: np.ndarray, size: int) -> np.ndarray:
    """[H, W] uint8 → [size, size] uint8.

    A pixel is the mean of the area that it covers, as in ALE's frames: a line of one pixel grows faint where
    interpolation between four pixels (OpenCV's default) would lose it altogether.
    """
    return np.asarray(Image.fromarray(frame).resize((size, size), Image.Resampling.BOX))


class PixelView(gymnasium.ObservationWrapper):
    """An environment seen from outside: observations are what it draws, [image_size, image_size] uint8.

    Raises:
      ValueError: it draws no colour picture.
      DependencyNotInstalled: it needs a package to draw.
    """

    def __init__(self, env: gymnasium.Env, image_size: int):
        super().__init__(env)
        self.observation_space = Box(0, 255, (image_size, image_size), np.uint8)
        self._image_size = image_size
        env.reset()  # what it draws, and whether it can, is known only when it does
        picture = env.render()
        if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8 or picture.shape[2:] != (3,):
            raise ValueError(f"{env} draws no colour picture; leave env.pixels out")

    def observation(self, observation: np.ndarray) -> np.ndarray:
        """What it draws now, whatever its own observation is."""
        return square(grey(self.env.render()), self._image_size)
