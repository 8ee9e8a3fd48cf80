"""Names of environments: the usual spellings are taken, unknown ones are refused with the nearest known one."""

import difflib
import re
from importlib.util import find_spec

from configs.errors import shown
from configs.mario_games import MARIO_GAMES
from configs.registries import register

# Cartridges without a single-player mode: ALE ends the process when asked for one.
_MULTIPLAYER = {"combat", "joust", "maze_craze", "warlords"}
_ID = re.compile(r"(?:ALE/)?(?P<name>\w+?)(?:Deterministic|NoFrameskip)?(?:-v\d+)?")

_OTHER_BACKENDS = {"ALE/": "ale", "MiniGrid-": "minigrid", "SuperMarioBros": "mario"}
"""Which backend has the ids that begin so."""


def atari_game(spelling: str) -> str:
    """ALE's snake-case name of a game: "montezuma_revenge" for "ALE/MontezumaRevenge-v5" and its like.

    Only the name is taken from such an id: frame skip and sticky actions are keys of their own.

    Raises:
      ValueError: no such game.
    """
    from ale_py.roms import get_all_rom_ids  # costs as much time as the rest of the loader: only when needed

    known = {rom.replace("_", ""): rom for rom in get_all_rom_ids() if rom not in _MULTIPLAYER}
    match = _ID.fullmatch(spelling)
    name = (match["name"] if match else spelling).replace("_", "").lower()
    if name not in known:
        raise ValueError(f"unknown Atari game {shown(spelling)}{_nearest(name, known)}")
    return known[name]


def gymnasium_id(env_id: str) -> str:
    """An id of gymnasium's own registry, unchanged.

    Raises:
      ValueError: not in the registry, an Atari game, or a "module:Env-v0", which would import that module.
    """
    import gymnasium  # lazily, as above

    if ":" in env_id:
        raise ValueError(f"{shown(env_id)} names a module to import; give an id of gymnasium's registry")
    for beginning, backend in _OTHER_BACKENDS.items():
        if env_id.startswith(beginning):
            raise ValueError(f"{shown(env_id)} is played by another backend; set env.backend to {backend}")
    _check_installed(env_id, env_id)
    known = {name.lower(): name for name in gymnasium.registry if not name.startswith(tuple(_OTHER_BACKENDS))}
    if env_id not in known.values():
        raise ValueError(f"unknown gymnasium environment {shown(env_id)}{_nearest(env_id.lower(), known)}")
    return env_id


def minigrid_id(env_id: str) -> str:
    """An id of minigrid's, unchanged.

    Raises:
      ValueError: minigrid is not installed, or has no such id.
    """
    _check_installed(env_id, "MiniGrid-")
    import gymnasium  # lazily, as above

    # The WFC ids need images that minigrid's wheel lacks.
    names = [name for name in gymnasium.registry if name.startswith("MiniGrid-") and "WFC" not in name]
    if env_id not in names:
        known = {name.lower(): name for name in names}
        raise ValueError(f"unknown MiniGrid environment {shown(env_id)}{_nearest(env_id.lower(), known)}")
    return env_id


def mario_id(env_id: str) -> str:
    """An id of gym-super-mario-bros's, unchanged.

    Raises:
      ValueError: it is not installed, or has no such id.
    """
    if find_spec("gym_super_mario_bros") is None:  # importing it would import the old `gym`
        raise ValueError(f"{shown(env_id)} is not installed here; pip install 'rl-platform[mario]'")
    if env_id not in MARIO_GAMES:
        known = {name.lower(): name for name in MARIO_GAMES}
        raise ValueError(f"unknown Mario game {shown(env_id)}{_nearest(env_id.lower(), known)}")
    return env_id


def _check_installed(env_id: str, beginning: str) -> None:
    """Registers the ids that begin like `beginning`; ValueError about `env_id` if their package is missing."""
    if missing := register(beginning):
        raise ValueError(f"{shown(env_id)} is not installed here; pip install '{missing}'")


def _nearest(name: str, known: dict[str, str]) -> str:
    """`known` maps what is compared to what is shown."""
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
    return f"; the nearest is {known[nearest[0]]!r}"
