"""Whether what the replay sources are to keep fits into the memory of this machine, or container."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from actors.unroll_builder import UnrollBuilder
from configs.schema import Config
from rl_platform.core.distributions import distribution_of
from rl_platform.core.spec import EnvSpec
from rl_platform.runtime import build
from rl_platform.runtime.errors import InputError

_REPLAY_PART = 0.8
"""Part of the memory that a remedy leaves to replay: networks, environments and batches under way need the rest."""


def column_bytes(config: Config, spec: EnvSpec, memory_size: int) -> int:
    """What one stored column takes; `memory_size` is the network's M."""
    column = UnrollBuilder(
        spec,
        unroll_length=config.actors.unroll_length,
        num_envs=1,
        num_params=distribution_of(spec.action).num_params,
        num_values=build.num_value_heads(config),
        num_features=build.num_features(config),
        memory_size=memory_size,
        task=np.zeros(1, np.int32),
    )
    return sum(array.nbytes for array in column.trajectory)


def physical_memory(cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes of physical memory that can be had here: this machine's, or as many as its container is limited to.

    Args:
      cgroups: where Linux shows the limits of this container.
    """
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *_container_limits(cgroups)])


def _container_limits(cgroups: Path) -> Iterator[int]:
    """None outside Linux, and where nothing is limited; v1 then names a number above every machine's."""
    for file in (cgroups / "memory.max", cgroups / "memory/memory.limit_in_bytes"):  # of cgroup v2, of v1
        if file.exists() and (limit := file.read_text().strip()) != "max":
            yield int(limit)


def check_replay_fits(config: Config, per_column_bytes: int, memory_bytes: int) -> None:
    """InputError if all sources, full, are larger than the memory: a run would find out after hours.

    In a Ray that runs already, replay actors may be on other machines: nothing is known of theirs.

    Args:
      per_column_bytes: what a stored column takes.
      memory_bytes: what this machine or container has; all its replay actors share it.
    """
    if config.cluster.mode == "ray" and (config.cluster.address or os.environ.get("RAY_ADDRESS")):
        return
    actors, columns = config.cluster.num_learners, sum(source.capacity for source in config.replay.sources)
    needed_bytes = columns * per_column_bytes
    if actors * needed_bytes <= memory_bytes:
        return
    fitting = int(_REPLAY_PART * memory_bytes / actors / per_column_bytes)
    raise InputError(
        f"the capacities of replay.sources add up to {columns} columns of {per_column_bytes} bytes, "
        f"{needed_bytes / 1e9:,.1f} GB in each replay actor ({actors} here), and this machine or "
        f"container has {memory_bytes / 1e9:,.1f} GB; lower them to {fitting} columns in all"
    )
