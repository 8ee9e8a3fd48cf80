"""The Ray wiring: one learner, its replay shard and its rollout actors, on one machine or a cluster."""

import time
from functools import partial
from typing import Any

import ray
from ray.exceptions import RayError

from configs.schema import Config
from rl_platform.core.spec import EnvSpec
from rl_platform.runtime import build
from rl_platform.runtime.checkpoint import State
from rl_platform.runtime.feeder import Feeder
from rl_platform.runtime.ray_actors import LearnerActor, ReplayActor, RolloutActor, reason
from rl_platform.runtime.ray_cluster import Placement, connected
from rl_platform.runtime.rollout_group import RolloutGroup
from rl_platform.runtime.run import Run, log
from rl_platform.runtime.stop import StopRequest

_WAIT_S = 0.5
"""Longest time between two looks at signals, checkpoints and the clock."""
_TELL_AFTER_S = 10.0
"""Actors that have not started by then are spoken of."""
_FINISH_S = 60.0
"""How long the updates in flight, and the learner's last state, may take at the end of a run."""
_RESCUE_S = 10.0
"""How long the learner of a failed run may take to hand over its state."""


def train_over_ray(config: Config, spec: EnvSpec, restored: State | None, run: Run) -> State | None:
    """Train until the run should stop; returns the learner's last state, None if it was stopped before it trained.

    Raises:
      InputError: there is no such Ray, or it has less than the run asks for.
      RuntimeError: the learner or the replay actor failed, or rollout actors did too often. The learner's state was
        saved if it could still be had.
    """
    with connected(config, run.stop):
        if run.stop.made():
            return None
        place = Placement(config)
        learner = LearnerActor.options(
            num_cpus=config.cluster.learner_cpus, num_gpus=config.cluster.gpus_per_learner, **place.beside_learner()
        ).remote(partial(build.make_learner, config, spec), restored, torch_threads=config.run.torch_threads)
        shard = ReplayActor.options(num_cpus=config.cluster.replay_cpus, **place.beside_learner()).remote(
            partial(build.make_shard, config)
        )
        try:
            weights = learner.weights.remote()
            if not (started("learner", weights, run.stop) and started("replay actor", shard.status.remote(), run.stop)):
                return None
            return _train(config, place, learner, shard, weights, 0 if restored is None else restored["updates"], run)
        finally:
            for actor in (learner, shard):
                ray.kill(actor)
            place.release()


def started(who: str, answer: ray.ObjectRef, stop: StopRequest) -> bool:
    """Wait for an actor's first answer; False if the run was asked to stop before it came.

    Raises:
      RuntimeError: the actor could not start; one line with its reason.
    """
    tell_at = time.monotonic() + _TELL_AFTER_S
    while not ray.wait([answer], timeout=_WAIT_S, fetch_local=False)[0]:
        if stop.made():
            return False
        if time.monotonic() > tell_at:
            tell_at = float("inf")
            free = {kind: ray.available_resources().get(kind, 0.0) for kind in ("CPU", "GPU")}
            log.warning("still waiting for the %s to start; Ray has free: %s", who, free)
    try:
        ray.get(answer)
    except RayError as error:
        raise RuntimeError(f"the {who} could not start: {reason(error)}") from error
    return True


def _train(config: Config, place: Placement, learner: Any, shard: Any, weights: ray.ObjectRef, version: int,
           run: Run) -> State:  # fmt: skip
    rollouts = _rollouts(config, place, run)
    try:
        feeder = Feeder(
            rollouts=rollouts,
            shard=shard,
            learner=learner,
            throttle=build.throttle(config),
            batches_ahead=config.replay.prefetch,
            weights=weights,
            version=version,
            listener=run,
        )
        _feed(feeder, rollouts, run)
        run.account(ray.get(shard.status.remote(), timeout=_FINISH_S))
        return ray.get(learner.state.remote(), timeout=_FINISH_S)
    except Exception:
        _rescue(learner, run)
        raise
    finally:
        rollouts.close()


def _feed(feeder: Feeder, rollouts: RolloutGroup, run: Run) -> None:
    while not run.should_stop():
        feeder.step(_WAIT_S)
        run.set_failures(unrolls_lost=rollouts.unrolls_lost, actors_restarted=rollouts.restarted)
        run.tick()
        if run.checkpoint_due():
            feeder.ask_for_state(run.save)
    feeder.finish_updates(_FINISH_S)


def _rescue(learner: Any, run: Run) -> None:
    """Save what was learned, if the learner is still there to be asked."""
    try:
        state = ray.get(learner.state.remote(), timeout=_RESCUE_S)
    except RayError as error:
        log.error("what was learned since the last checkpoint is lost: the learner: %s", reason(error))
    else:
        run.save(state, "failed")


def _rollouts(config: Config, place: Placement, run: Run) -> RolloutGroup:
    def create(actor: int, incarnation: int) -> ray.actor.ActorHandle:
        make_worker = partial(build.make_worker, config, actor, incarnation)
        options = RolloutActor.options(num_cpus=config.cluster.actor_cpus, **place.of_rollout_actor(actor))
        return options.remote(make_worker, torch_threads=config.run.torch_threads)

    return RolloutGroup(
        create,
        count=config.actors.count,
        first_incarnation=run.first_incarnation,
        unrolls_in_flight=config.actors.unrolls_in_flight,
        step_timeout_s=config.actors.step_timeout_s,
        max_restarts_in_a_row=config.actors.max_restarts_in_a_row,
        report=log.warning,
    )
