"""Creates the actors of a run, each in its place."""

from functools import partial
from pathlib import Path
from typing import Any

from configs.schema import Config
from rl_platform.core.spec import EnvSpec
from rl_platform.runtime import build
from rl_platform.runtime.build_replay import compares_features
from rl_platform.runtime.checkpoint import State
from rl_platform.runtime.evaluators import Evaluator
from rl_platform.runtime.feeder import FeederSettings
from rl_platform.runtime.feeder_client import FeederClient, LocalFeeder, RemoteFeeder
from rl_platform.runtime.learner_group import LearnerGroup
from rl_platform.runtime.ray_actors import ReplayActor, RolloutActor
from rl_platform.runtime.ray_cluster import Placement, with_jemalloc
from rl_platform.runtime.ray_evaluator import RayEvaluator


class ActorFactory:
    """Everything that a run over Ray is made of, created when it is asked for and owned by whoever asks.

    Args:
      directory: the run's folder, where replay actors keep their columns.
    """

    def __init__(self, config: Config, spec: EnvSpec, place: Placement, directory: Path):
        self._config, self._spec, self._place, self._directory = config, spec, place, directory

    def learner_group(self, state: State | None, version: int | None) -> LearnerGroup:
        """All learner ranks, going on from `state`, their weights from `version` on; None: fresh, the state's own."""
        make_learner = partial(build.make_learner, self._config, self._spec)
        return LearnerGroup(self._config, make_learner, self._place, state, version)

    def shard(self, rank: int) -> Any:
        """An empty replay actor."""
        config = self._config
        options = ReplayActor.options(
            num_cpus=config.cluster.replay_cpus,
            num_gpus=config.replay.scorer.gpus,
            **with_jemalloc() if compares_features(config.replay) else {},  # without a scorer it does not infer
            **self._place.beside_learner(rank),
        )
        make_shard = partial(build.make_shard, config, self._spec, rank)
        contents = build.make_contents(config, self._directory, rank)
        return options.remote(make_shard, contents, torch_threads=config.run.torch_threads)

    def feeder(self, rank: int) -> FeederClient:
        """A feeder without orders."""
        config = self._config
        settings = FeederSettings(
            throttle=build.throttle(config),
            scores=compares_features(config.replay),
            batches_vary=len(config.replay.sources) > 1 or config.learner.max_columns is not None,
            batches_ahead=config.replay.prefetch,
            answer_timeout_s=config.cluster.answer_timeout_s,
            patience_s=config.cluster.patience_s,
            unrolls_in_flight=config.actors.unrolls_in_flight,
            step_timeout_s=config.actors.step_timeout_s,
            max_restarts_in_a_row=config.actors.max_restarts_in_a_row,
        )
        if config.cluster.feeder == "driver":
            return LocalFeeder(settings)
        return RemoteFeeder(settings, self._place.beside_learner(rank))

    def rollout_actor(self, actor: int, incarnation: int) -> Any:
        """A rollout actor, whose random numbers are those of this incarnation alone."""
        config = self._config
        make_worker = partial(build.make_worker, config, actor, incarnation)
        options = RolloutActor.options(
            num_cpus=config.cluster.actor_cpus, **with_jemalloc(), **self._place.of_rollout_actor(actor)
        )
        return options.remote(make_worker, torch_threads=config.run.torch_threads)

    def evaluator(self) -> Evaluator:
        """Who plays the games of evaluations."""
        return RayEvaluator(self._config, {**with_jemalloc(), **self._place.of_evaluator()})
