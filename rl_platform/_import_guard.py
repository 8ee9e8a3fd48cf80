"""Names the folder that shadows one of ours.

The rooms are plain top-level packages beside this one, and `models` or `configs` are names that other projects use too.
Whatever Python finds first wins, so a mix-up would show much later, as a missing attribute deep inside a run.
"""

import os
from importlib import import_module
from importlib.util import find_spec

REQUIRED = ("actors", "replay", "learners", "models", "configs")
OPTIONAL = ("tune_experiments",)


def verify_siblings() -> None:
    """Check that each sibling package resolves beside `rl_platform`, importing none of them.

    Raises:
      ImportError: one is shadowed or missing; one line that says by what and how to mend it.
    """
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    present = [name for name in OPTIONAL if os.path.isdir(os.path.join(root, name))]
    for name in (*REQUIRED, *present):
        expected, found = os.path.join(root, name), _location(name)
        if found is None or os.path.realpath(found) != os.path.realpath(expected):
            raise ImportError(f"rl_platform needs its package {name!r} at {expected}, " + _mistake(expected, found))


def import_siblings() -> None:
    """Import every sibling now, so that no folder which enters sys.path later can shadow it.

    The setup hook of Ray's worker processes: after it, Ray puts the driver's working directory first in their sys.path.
    """
    for name in REQUIRED:
        import_module(name)


def _location(name: str) -> str | None:
    """The folder (of a package) or file (of a module) that `import name` would load; None: there is nothing."""
    try:
        spec = find_spec(name)
    except ValueError:  # already imported and without a spec: put there by a program
        return f"sys.modules[{name!r}]"
    if spec is None:
        return None
    folders = list(spec.submodule_search_locations or ())
    return folders[0] if folders else spec.origin


def _mistake(expected: str, found: str | None) -> str:
    """What is wrong and how to mend it."""
    if found is None or not os.path.isdir(expected):
        return "which is missing: install rl-platform again, or add that folder to what is shipped"
    return (
        f"but {found} shadows it: rename that one, or keep {os.path.dirname(found) or 'it'} out of sys.path "
        "(start with the `rl-platform` command or `python -P`, and look at PYTHONPATH)"
    )
