"""The learner ranks of a run: they begin together, step together, and are replaced together."""

import math
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import RayError

from configs.schema import Config
from learners.learner import Learner
from learners.ranks import Ranks
from rl_platform.core.types import LearnerProgress
from rl_platform.runtime.checkpoint import State
from rl_platform.runtime.ray_actors import LearnerActor, RankSpec, reason
from rl_platform.runtime.ray_cluster import Placement, with_jemalloc
from rl_platform.runtime.starting import started
from rl_platform.runtime.stop import StopRequest


class LearnerGroup:
    """`cluster.num_learners` learner actors. A failure of one is the end of all.

    Args:
      make_learner: with the ranks that the learner is one of.
      state: what they go on from; None: fresh weights.
      version: of their first weights; None: the state's own.
    """

    def __init__(self, config: Config, make_learner: Callable[[Ranks], Learner], place: Placement, state: State | None,
                 version: int | None):  # fmt: skip
        cluster = config.cluster
        backend = "nccl" if cluster.gpus_per_learner else "gloo"
        specs = [
            RankSpec(rank, cluster.num_learners, backend, cluster.collective_timeout_s)
            for rank in range(cluster.num_learners)
        ]
        self.learners: list[Any] = [
            LearnerActor.options(
                num_cpus=cluster.learner_cpus,
                num_gpus=cluster.gpus_per_learner,
                **with_jemalloc(keep_freed=True),
                **place.beside_learner(spec.index),
            ).remote(spec, torch_threads=config.run.torch_threads)
            for spec in specs
        ]
        # Each begins when all are there, so that none waits at the meeting for one whose process is still starting.
        present = [learner.present.remote() for learner in self.learners]
        meeting = self.learners[0].host.remote() if len(specs) > 1 else None
        shared_state = None if state is None else ray.put(state)
        go_on = (make_learner, meeting, shared_state, version, *present)
        self._begun = [learner.begin.remote(*go_on) for learner in self.learners]

    def started(self, stop: StopRequest, limit_s: float = math.inf) -> bool:
        """Wait until every rank can be asked for updates; False if the run was asked to stop before that.

        Raises:
          RuntimeError: a learner could not start, or not within `limit_s`; one line with its reason.
        """
        return all(started("learner", begun, stop, limit_s=limit_s) for begun in self._begun)

    def begun_at(self) -> LearnerProgress:
        """Where the ranks began, all of them at the same; only when they have started."""
        return ray.get(self._begun[0])

    def kill(self) -> None:
        """End every rank."""
        for learner in self.learners:
            ray.kill(learner)


def last_state(learner: Any, limit_s: float) -> State:
    """What a learner has reached; RuntimeError if it does not say within `limit_s`."""
    try:
        return ray.get(learner.state.remote(), timeout=limit_s)
    except RayError as error:
        raise RuntimeError(f"the learner's last state is lost: {reason(error)}") from error
