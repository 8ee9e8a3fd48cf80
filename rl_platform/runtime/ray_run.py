"""The Ray wiring: learner ranks, their shards and feeders, and the rollout actors, on one machine or a cluster."""

from collections.abc import Iterator
from contextlib import contextmanager

from configs.schema import Config
from rl_platform.core.spec import EnvSpec
from rl_platform.runtime.actor_factory import ActorFactory
from rl_platform.runtime.checkpoint import State
from rl_platform.runtime.ray_cluster import Placement, connected
from rl_platform.runtime.run import Run
from rl_platform.runtime.supervisor import Supervisor


@contextmanager
def ray_training(config: Config, spec: EnvSpec, restored: State | None, run: Run) -> Iterator[Supervisor | None]:
    """Training over Ray; None if the run was asked to stop before it could begin.

    Raises:
      InputError: there is no such Ray, or it has less than the run asks for.
      RuntimeError: an actor could not start.
    """
    with connected(config, run.stop):
        if run.stop.made():
            yield None
            return
        place = Placement(config)
        try:
            with _supervised(config, ActorFactory(config, spec, place, run.directory), restored, run) as supervisor:
                yield supervisor
        finally:
            place.release()


@contextmanager
def _supervised(config: Config, factory: ActorFactory, restored: State | None, run: Run) -> Iterator[Supervisor | None]:
    learner_group = factory.learner_group(restored, None)
    if not learner_group.started(run.stop):
        yield None
        return
    supervisor = Supervisor(config, factory, learner_group, run, restored)
    try:
        yield supervisor if supervisor.started() else None
    finally:
        supervisor.close()
