"""Frames as ALE's vector environment makes them, of those that a single emulator shows."""

import math
from typing import NamedTuple

import numpy as np

HEIGHT, WIDTH = 210, 160


class Taps(NamedTuple):
    """Which K source pixels make each of D target pixels along one axis, in order of position."""

    sources: np.ndarray
    """[K, D] indices."""
    weights: np.ndarray
    """[K, D] float32; 0 where a target pixel has fewer than K sources."""


def area_taps(source: int, target: int) -> Taps:
    """The shares that `source` pixels have in `target` ≤ `source` equal intervals, each interval's adding up to 1."""
    scale = source / target
    pixels = [_covered(index * scale, (index + 1) * scale, source) for index in range(target)]
    most = max(map(len, pixels))
    sources, weights = np.zeros((most, target), np.intp), np.zeros((most, target), np.float32)
    for index, covered in enumerate(pixels):
        for place, (pixel, length) in enumerate(covered):
            sources[place, index], weights[place, index] = pixel, length / scale
    return Taps(sources, weights)


def _covered(begin: float, end: float, source: int) -> list[tuple[int, float]]:
    """Pixels of [begin, end) and how much of each lies in it; less than a thousandth is rounding, and left out."""
    pixels = range(math.floor(begin), min(math.ceil(end), source))
    lengths = [(pixel, min(end, pixel + 1) - max(begin, pixel)) for pixel in pixels]
    return [(pixel, length) for pixel, length in lengths if length > 1e-3]


class AreaResize:
    """Resizes grey frames to squares by averaging areas, to the bit as OpenCV's INTER_AREA does, which ALE calls.

    Bit for bit because sums are taken in OpenCV's order (rows first, then columns of row sums, left to right, in
    float32, without fused multiply-add) and rounded half to even; tests/actors/envs/test_ale_single.py compares them.

    Raises:
      ValueError: larger than the screen is wide, where OpenCV would interpolate instead.
    """

    def __init__(self, size: int):
        if size > WIDTH:
            raise ValueError(f"image_size {size} is more than the screen's width; set it to {WIDTH} or less")
        self._columns, self._rows = area_taps(WIDTH, size), area_taps(HEIGHT, size)

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """[210, 160] uint8 to [size, size] uint8."""
        shares = zip(self._columns.sources, self._columns.weights, strict=True)
        narrow = sum(frame[:, pixels] * weights for pixels, weights in shares)
        shares = zip(self._rows.sources, self._rows.weights[:, :, None], strict=True)
        return np.rint(sum(narrow[pixels] * weights for pixels, weights in shares)).astype(np.uint8)


def draw_below(limit: int, generator: np.random.RandomState) -> int:
    """A number from 0 to limit − 1, as GCC's std::uniform_int_distribution draws it from the same std::mt19937.

    Lemire, "Fast random integer generation in an interval" (2019): the high half of a 32-bit draw times `limit`,
    drawn anew where the low half would favour some numbers.
    """
    while True:
        product = int(generator.randint(0, 2**32, dtype=np.uint32)) * limit
        if product % 2**32 >= (2**32 - limit) % limit:
            return product // 2**32
