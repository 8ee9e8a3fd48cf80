"""The Ray wiring: one learner, its replay shard and its rollout actors, on one machine or a cluster."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import ray

from configs.schema import Config
from rl_platform.core.spec import EnvSpec
from rl_platform.runtime import build
from rl_platform.runtime.checkpoint import State
from rl_platform.runtime.feeder import Feeder
from rl_platform.runtime.ray_actors import LearnerActor, ReplayActor, RolloutActor
from rl_platform.runtime.rollout_group import RolloutGroup
from rl_platform.runtime.run import Run, log

_WAIT_S = 0.5
"""Longest time between two looks at signals, checkpoints and the clock."""


def train_over_ray(config: Config, spec: EnvSpec, restored: State | None, run: Run) -> State:
    """Train until the run should stop; returns the learner's last state."""
    with _cluster(config):
        run.stop.install()  # again: ray.init takes SIGTERM for itself
        learner = LearnerActor.options(
            num_cpus=config.cluster.learner_cpus, num_gpus=config.cluster.gpus_per_learner
        ).remote(partial(build.make_learner, config, spec), restored, torch_threads=config.run.torch_threads)
        shard = ReplayActor.options(num_cpus=1).remote(partial(build.make_shard, config))
        rollouts = _rollouts(config, run)
        try:
            feeder = Feeder(
                rollouts=rollouts,
                shard=shard,
                learner=learner,
                throttle=build.throttle(config),
                batches_ahead=config.replay.prefetch,
                weights=learner.weights.remote(),
                version=0 if restored is None else restored["updates"],
                listener=run,
            )
            _feed(feeder, rollouts, run)
            run.account(ray.get(shard.status.remote()))
            return ray.get(learner.state.remote())
        finally:
            for actor in (learner, shard):
                ray.kill(actor)
            rollouts.close()


def _feed(feeder: Feeder, rollouts: RolloutGroup, run: Run) -> None:
    while not run.should_stop():
        feeder.step(_WAIT_S)
        run.set_failures(unrolls_lost=rollouts.unrolls_lost, actors_restarted=rollouts.restarted)
        run.next_incarnation = rollouts.next_incarnation
        run.tick()
        if run.checkpoint_due():
            feeder.ask_for_state(run.save)
    feeder.finish_updates()


def _rollouts(config: Config, run: Run) -> RolloutGroup:
    def create(actor: int, incarnation: int) -> ray.actor.ActorHandle:
        make_worker = partial(build.make_worker, config, actor, incarnation)
        options = RolloutActor.options(num_cpus=config.cluster.actor_cpus)
        return options.remote(make_worker, torch_threads=config.run.torch_threads)

    return RolloutGroup(
        create,
        count=config.actors.count,
        first_incarnation=run.first_incarnation,
        calls_in_flight=2,
        step_timeout_s=config.actors.step_timeout_s,
        max_restarts_in_a_row=config.actors.max_restarts_in_a_row,
        report=log.warning,
    )


@contextmanager
def _cluster(config: Config) -> Iterator[None]:
    """Connect to the cluster that the config or RAY_ADDRESS names, or start a local one; leave it as it was found."""
    address = config.cluster.address or os.environ.get("RAY_ADDRESS")
    # Ray puts the driver's working folder first in every worker's path, where a user's own `models/` may lie.
    shared = {"runtime_env": {"worker_process_setup_hook": "rl_platform._import_guard.import_siblings"}}
    if address:
        ray.init(address=address, **shared)
    else:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(
            num_cpus=math.ceil(_logical_cpus(config)),  # bookkeeping: every actor finds its place
            object_store_memory=config.cluster.object_store_mb * 2**20,
            include_dashboard=False,
            **shared,
        )
    try:
        yield
    finally:
        ray.shutdown()


def _logical_cpus(config: Config) -> float:
    """What the actors of a run ask for, the replay shard's one included."""
    return config.actors.count * config.cluster.actor_cpus + config.cluster.learner_cpus + 1
