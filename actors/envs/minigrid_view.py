"""What an agent in MiniGrid sees: `MiniGridEnv.gen_obs` to the bit, and several times as fast.

minigrid copies and turns the cells before the agent as objects, up to four times; here each cell is looked up once, and
which of them are seen is told from rows as sets of bits.
"""

from collections.abc import Iterator
from functools import cache
from itertools import chain

import numpy as np
from minigrid.core.constants import OBJECT_TO_IDX
from minigrid.core.world_object import Wall, WorldObj
from minigrid.minigrid_env import MiniGridEnv

_UNSEEN = (0, 0, 0)
_EMPTY = (OBJECT_TO_IDX["empty"], 0, 0)
_OUTSIDE = Wall()
_AHEAD = ((1, 0), (0, 1), (-1, 0), (0, -1))
"""The step (x, y) of an agent that faces 0 right, 1 down, 2 left, 3 up."""


def view(env: MiniGridEnv) -> np.ndarray:
    """Planes uint8 [4, V, V] of the cells before the agent: object, colour, state, and its direction in every cell.

    Axes are x and y: the agent is at x = V // 2, y = V − 1, where what it carries is shown, and ahead is smaller y.
    What it cannot see is 0.
    """
    size = env.agent_view_size
    cells = _cells_ahead(env, size)
    seen = cells if env.see_through_walls else list(_seen(cells, size))
    seen[(size - 1) * size + size // 2] = env.carrying
    encoded = bytes(chain.from_iterable(
        _EMPTY if cell is None else _UNSEEN if cell is _UNSEEN else cell.encode() for cell in seen
    ))  # fmt: skip
    planes = np.empty((4, size, size), np.uint8)
    planes[:3] = np.frombuffer(encoded, np.uint8).reshape(size, size, 3).T
    planes[3] = env.agent_dir
    return planes


@cache
def _offsets(direction: int, size: int) -> tuple[tuple[int, int], ...]:
    """Where the cells of a view are, (x, y) from the agent: row by row, the farthest first, each from left to right."""
    x, y = _AHEAD[direction]
    places = [(size - 1 - row, column - size // 2) for row in range(size) for column in range(size)]
    return tuple((x * ahead - y * right, y * ahead + x * right) for ahead, right in places)


def _cells_ahead(env: MiniGridEnv, size: int) -> list[WorldObj | None]:
    """What lies in the cells of the view, in the order of `_offsets`; walls outside of the grid."""
    x, y = map(int, env.agent_pos)
    width, height, grid = env.grid.width, env.grid.height, env.grid.grid
    return [
        grid[(y + dy) * width + x + dx] if 0 <= x + dx < width and 0 <= y + dy < height else _OUTSIDE
        for dx, dy in _offsets(int(env.agent_dir), size)
    ]


def _seen(cells: list[WorldObj | None], size: int) -> Iterator[WorldObj | tuple[int, int, int] | None]:
    """The cells, `_UNSEEN` for those that are out of sight, as `Grid.process_vis`: from the agent's row outwards."""
    rows, reached = [], 1 << (size // 2)
    for first in range((size - 1) * size, -1, -size):
        row, clear, bit = cells[first : first + size], 0, 1
        for cell in row:
            if cell is None or cell.see_behind():
                clear |= bit
            bit <<= 1
        visible, reached = _row_seen(reached, clear, size)
        rows.append([cell if shown else _UNSEEN for cell, shown in zip(row, visible, strict=True)])
    return chain.from_iterable(reversed(rows))


@cache
def _row_seen(reached: int, clear: int, size: int) -> tuple[tuple[bool, ...], int]:
    """Which cells of a row are seen, and the bits of those of the row behind it that can be.

    Args:
      reached: bits of the cells that can be seen past the row before.
      clear: bits of the cells that one can look through.
    """
    seen, behind = reached, 0
    for columns, step in ((range(size - 1), 1), (range(size - 1, 0, -1), -1)):
        for column in columns:
            if seen & clear & 1 << column:
                seen |= 1 << (column + step)
                behind |= 1 << column | 1 << (column + step)
    return tuple(bool(seen & 1 << column) for column in range(size)), behind
