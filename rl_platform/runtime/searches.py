"""Searches by name: the files of `tune_experiments`, and users' own."""

import runpy
from datetime import datetime
from pathlib import Path
from typing import Any

from configs.errors import did_you_mean
from rl_platform.runtime.errors import InputError, blaming

_SHIPPED = Path(__file__).parents[2] / "tune_experiments"
_NAME = "SEARCH"


def load_search(name_or_path: str) -> Any:
    """The `tune_experiments.search.Search` that a file defines as `SEARCH`; the file is run, as Python runs it.

    It is reached by its file and not by an import: what searches needs lies to the right of this room.

    Args:
      name_or_path: a Python file, or the name of a shipped search such as "cartpole_asha".

    Raises:
      InputError: there is no such file, it fails, or it defines no search.
    """
    path = _find(name_or_path)
    with blaming(str(path), Exception):  # the file may raise whatever its author liked
        defined = runpy.run_path(str(path))
    if _NAME not in defined:
        raise InputError(f"{path}: defines no search; write {_NAME} = Search(…), as in {_SHIPPED}")
    return defined[_NAME]


def results_directory(name_or_path: str) -> Path:
    """Where a search that starts now leaves its results, unless its user says otherwise."""
    return Path("runs") / f"{Path(name_or_path).stem}_{datetime.now():%Y%m%d-%H%M%S}"


def _find(name: str) -> Path:
    shipped = sorted(path.stem for path in _SHIPPED.glob("*.py") if f"\n{_NAME} = " in path.read_text(encoding="utf-8"))
    if name in shipped:
        return _SHIPPED / f"{name}.py"
    if Path(name).is_file():
        return Path(name)
    known = did_you_mean(name, shipped) or f" ({', '.join(shipped)})"
    raise InputError(f"{name} is neither a Python file nor a shipped search{known}")
