"""Names of environments: the usual spellings are taken, unknown ones are refused with the nearest known one."""

import difflib
import re

from configs.errors import shown
from configs.registries import register

# Cartridges without a single-player mode: ALE ends the process when asked for one.
_MULTIPLAYER = {"combat", "joust", "maze_craze", "warlords"}
_ID = re.compile(r"(?:ALE/)?(?P<name>\w+?)(?:Deterministic|NoFrameskip)?(?:-v\d+)?")


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

    if missing := register(env_id):
        raise ValueError(f"{shown(env_id)} is not installed here; pip install '{missing}'")
    known = {name.lower(): name for name in gymnasium.registry if not name.startswith("ALE/")}
    if ":" in env_id:
        raise ValueError(f"{shown(env_id)} names a module to import; give an id of gymnasium's registry")
    if env_id.startswith("ALE/"):
        raise ValueError(f"{shown(env_id)} is an Atari game; set env.backend to ale")
    if env_id not in known.values():
        raise ValueError(f"unknown gymnasium environment {shown(env_id)}{_nearest(env_id.lower(), known)}")
    return env_id


def _nearest(name: str, known: dict[str, str]) -> str:
    """`known` maps what is compared to what is shown."""
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
    return f"; the nearest is {known[nearest[0]]!r}"
