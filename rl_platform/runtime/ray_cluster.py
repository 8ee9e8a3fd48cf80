"""The Ray that a run uses: a running one or one of its own, and the run's place in it."""

import math
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from configs.schema import Config
from rl_platform.runtime.errors import InputError, blaming
from rl_platform.runtime.run_log import log
from rl_platform.runtime.stop import StopRequest

# Ray puts the driver's working folder first in every worker's path, where a user's own `models/` may lie.
_RUNTIME_ENV = {"worker_process_setup_hook": "rl_platform._import_guard.import_siblings"}

_ANSWER_S = 10.0
"""How long a running Ray may take to accept a connection."""

_JEMALLOC = Path(ray.__file__).parent / "core" / "libjemalloc.so"
"""Comes with Ray."""


@contextmanager
def connected(config: Config, stop: StopRequest) -> Iterator[None]:
    """Connect to the Ray that the config or RAY_ADDRESS names, or start a local one; leave it as it was found.

    A SIGTERM that comes meanwhile is left in `stop`.

    Raises:
      InputError: that Ray cannot be reached, or has less than the run asks for.
    """
    try:
        _connect(config, stop)
        if not stop.made():
            _check_resources(config)
            _tell_of_unused_gpus(config)
        yield
    finally:
        ray.shutdown()


def _connect(config: Config, stop: StopRequest) -> None:
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")  # what concerns the run, the feeder says in one line
    address = config.cluster.address or os.environ.get("RAY_ADDRESS")
    try:
        if address:
            with blaming(f"cluster.address {address}", OSError, RuntimeError, ValueError):
                check_listening(address)
                ray.init(address=address, runtime_env=_RUNTIME_ENV)
        else:
            _start_local(config)
    except SystemExit:  # what Ray's own handler of SIGTERM, installed while it starts, makes of the signal
        stop.signal = signal.SIGTERM
    stop.install()  # again: ray.init takes SIGTERM for itself


def check_listening(address: str) -> None:
    """OSError if nobody answers at HOST:PORT, where ray.init would try for many minutes, deaf to signals."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S).close()


def _start_local(config: Config) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_task_events_report_interval_ms", "0")  # nobody looks at them, and GCS keeps them all
    ray.init(
        address="local",  # without it, Ray would join one that somebody started on this machine
        num_cpus=math.ceil(_demand(config)["CPU"]),  # bookkeeping: every actor finds its place
        object_store_memory=config.cluster.object_store_mb * 2**20,
        include_dashboard=False,
        runtime_env=_RUNTIME_ENV,
    )


def _check_resources(config: Config) -> None:
    keys = {"CPU": "actors.count, cluster.num_learners, or the CPUs that cluster.*_cpus set aside for each actor",
            "GPU": "cluster.gpus_per_learner, replay.scorer.gpus or cluster.num_learners"}  # fmt: skip
    present = ray.cluster_resources()
    for kind, needed in _demand(config).items():
        if needed > present.get(kind, 0.0):
            raise InputError(
                f"the run asks for {needed:g} {kind}s and Ray has {present.get(kind, 0.0):g}: lower {keys[kind]}"
            )


def _tell_of_unused_gpus(config: Config) -> None:
    gpus = ray.cluster_resources().get("GPU", 0.0)
    if gpus and not config.cluster.gpus_per_learner and config.learner.device == "auto":
        log.warning("Ray has %g GPUs, and cluster.gpus_per_learner 0 gives the learners none: they run on the CPU; "
                    "set it to 1 for a GPU each, or learner.device to cpu", gpus)  # fmt: skip


def _demand(config: Config) -> dict[str, float]:
    return {kind: math.fsum(bundle[kind] for bundle in _bundles(config)) for kind in ("CPU", "GPU")}


def _bundles(config: Config) -> list[dict[str, float]]:
    """Of each rank its learner, shard and feeder, between which batches travel; each rollout actor; the evaluator."""
    cluster = config.cluster
    rank = {"CPU": cluster.learner_cpus + cluster.replay_cpus,
            "GPU": cluster.gpus_per_learner + config.replay.scorer.gpus}  # fmt: skip
    rollout, evaluator = {"CPU": cluster.actor_cpus, "GPU": 0.0}, {"CPU": cluster.evaluator_cpus, "GPU": 0.0}
    return [rank] * cluster.num_learners + [rollout] * config.actors.count + [evaluator]


def with_jemalloc(*, keep_freed: bool = False) -> dict[str, Any]:
    """Options of an actor whose memory glibc's allocator lets grow: jemalloc, which comes with Ray.

    glibc 2.36 finds no use for aligned blocks that were freed, such as PyTorch's: in half an hour of Pong a rollout
    actor's heap came to 2.2 GB of addresses, and its memory grew by 120 MB an hour even when freed pages were given
    back. With jemalloc it stays flat, for the same CPU time. Where the library is missing, glibc's goes on.

    Args:
      keep_freed: nothing is given back to the kernel, as `rl_platform.core.allocator.keep_freed_memory` has it of
        glibc: an update of Pong would spend a third of its time on page faults.
    """
    if not _JEMALLOC.exists():
        return {}
    variables = {"LD_PRELOAD": str(_JEMALLOC)}
    if keep_freed:
        variables["MALLOC_CONF"] = "dirty_decay_ms:-1,muzzy_decay_ms:-1"
    return {"runtime_env": {"env_vars": variables}}


class Placement:
    """One placement group for all actors of a run, as close together as the cluster allows.

    Its place stays a rollout actor's own when it dies, so that no other run can take it before the replacement.
    """

    def __init__(self, config: Config):
        wanted = [{kind: n for kind, n in bundle.items() if n} for bundle in _bundles(config)]
        self._index = {place: index for index, place in enumerate(i for i, bundle in enumerate(wanted) if bundle)}
        self._group = placement_group([bundle for bundle in wanted if bundle], "PACK") if self._index else None
        self._num_ranks, self._num_actors = config.cluster.num_learners, config.actors.count

    def beside_learner(self, rank: int) -> dict[str, Any]:
        """Options of a rank's learner, replay shard and feeder."""
        return self._options(rank)

    def of_rollout_actor(self, actor: int) -> dict[str, Any]:
        """Options of a rollout actor."""
        return self._options(self._num_ranks + actor)

    def of_evaluator(self) -> dict[str, Any]:
        """Options of the actor that evaluates."""
        return self._options(self._num_ranks + self._num_actors)

    def release(self) -> None:
        """Give the place back; ends whoever is still in it."""
        if self._group is not None:
            remove_placement_group(self._group)

    def _options(self, place: int) -> dict[str, Any]:
        if place not in self._index:
            return {}  # it asks for nothing: any node will do
        return {"scheduling_strategy": PlacementGroupSchedulingStrategy(self._group, self._index[place])}
