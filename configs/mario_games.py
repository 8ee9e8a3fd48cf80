"""The games of gym-super-mario-bros, named as in its registry, which lives in the old package `gym`."""

from typing import NamedTuple


class MarioGame(NamedTuple):
    """Arguments of `gym_super_mario_bros.SuperMarioBrosEnv`."""

    rom_mode: str = "vanilla"
    """How it is drawn."""
    lost_levels: bool = False
    """Super Mario Bros. 2 (Japan), without single stages."""
    target: tuple[int, int] | None = None
    """World and stage of a game of one stage and one life; None: the whole game."""


_ROM_MODES = ("vanilla", "downsample", "pixel", "rectangle")
_STAGES = [(world, stage) for world in range(1, 9) for stage in range(1, 5)]

MARIO_GAMES = {
    **{f"SuperMarioBros-v{version}": MarioGame(mode) for version, mode in enumerate(_ROM_MODES)},
    **{f"SuperMarioBros2-v{version}": MarioGame(mode, True) for version, mode in enumerate(_ROM_MODES[:2])},
    **{
        f"SuperMarioBros-{world}-{stage}-v{version}": MarioGame(mode, target=(world, stage))
        for version, mode in enumerate(_ROM_MODES)
        for world, stage in _STAGES
    },
}
"""By id."""
