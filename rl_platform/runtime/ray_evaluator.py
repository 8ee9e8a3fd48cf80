"""An actor that plays the games of a run's evaluations."""

from collections.abc import Mapping
from typing import Any

import ray
import torch
from ray.exceptions import RayError

from configs.schema import Config
from rl_platform.core.types import Episode
from rl_platform.runtime.checkpoint import State
from rl_platform.runtime.evaluation import Plan, play_games
from rl_platform.runtime.evaluators import EvaluationError
from rl_platform.runtime.ray_actors import reason


@ray.remote
class EvaluationActor:
    """Hosts `play_games`; one PyTorch thread."""

    def __init__(self, config: Config):
        torch.set_num_threads(1)
        self._config = config

    def play(self, state: State, plan: Plan) -> tuple[Episode, ...]:
        return play_games(self._config, state, plan)


class RayEvaluator:
    """Plays in an actor, made for the first evaluation and again for the next one after it died or was given up.

    Args:
      options: Ray's, such as the actor's place; its CPUs are `cluster.evaluator_cpus`.
    """

    def __init__(self, config: Config, options: Mapping[str, Any]):
        self._config = config
        self._options = {"num_cpus": config.cluster.evaluator_cpus, **options}
        self._actor: ray.actor.ActorHandle | None = None
        self._answer: ray.ObjectRef | None = None

    def begin(self, state: State, plan: Plan) -> None:
        if self._actor is None:
            self._actor = EvaluationActor.options(**self._options).remote(self._config)
        acting = {name: state[name] for name in ("model", "updates")}  # the optimiser stays here
        self._answer = self._actor.play.remote(acting, plan)

    def finished(self, wait_s: float = 0.0) -> bool:
        return bool(ray.wait([self._answer], timeout=wait_s)[0])

    def episodes(self) -> tuple[Episode, ...]:
        try:
            return ray.get(self._answer)
        except RayError as error:
            self.give_up()
            raise EvaluationError(reason(error)) from error

    def give_up(self) -> None:
        if self._actor is not None:
            ray.kill(self._actor)
        self._actor = None

    def close(self) -> None:
        self.give_up()
