"""Evaluations of CartPole policies, outside a run: the settings, who hands over states, and who is told."""

import json
import time
from collections.abc import Callable
from pathlib import Path

from configs.explain import to_yaml
from configs.loader import load_config
from configs.schema import Config
from rl_platform.runtime import build, build_envs
from rl_platform.runtime.checkpoint import State
from rl_platform.runtime.evaluation_schedule import EvaluationSchedule
from rl_platform.runtime.evaluators import InPlaceEvaluator

SMALL = ["--run.eval.every_env_steps=100", "--run.eval.episodes=20"]
ENDLESS = ["--run.eval.episodes=100000"]
"""Hours of games, which only giving up can end."""


class Record:
    """What a run would be told."""

    def __init__(self):
        self.evaluations, self.failed = [], 0

    def add_evaluation(self, evaluation):
        self.evaluations.append(evaluation)

    def add_failed_evaluation(self):
        self.failed += 1

    def whole_state(self, learner_state):
        return learner_state | {"run": {"env_steps": learner_state["env_steps"]}}


class Learner:
    """Hands over states in which one action is preferred by `bias`: the higher it is, the sooner the pole falls."""

    def __init__(self, config: Config, bias: float = 0.0):
        self.config, self.bias, self.env_steps, self.asked_at = config, bias, 0, []

    def state(self) -> State:
        network = build.make_network(self.config, build_envs.env_spec(self.config))
        model = {name: parameter.numpy(force=True).copy() for name, parameter in network.named_parameters()}
        model["policy.weight"][:] = 0.0
        model["policy.bias"][0] = self.bias
        return {"model": model, "optimizer": {}, "env_steps": self.env_steps, "updates": self.env_steps // 10}

    def ask(self, callback: Callable[[State], None]) -> None:
        self.asked_at.append(self.env_steps)
        callback(self.state())


def config(*overrides: str) -> Config:
    return load_config("classic/cartpole_impala", [*SMALL, *overrides])


def in_place(settings: Config) -> InPlaceEvaluator:
    return InPlaceEvaluator(settings, run_is_ending=lambda: False)


def folder(directory: Path, settings: Config) -> Path:
    (directory / "config.yaml").write_text(to_yaml(settings))
    return directory


def train_to(evaluations: EvaluationSchedule, learner: Learner, env_steps: int) -> None:
    """One turn of the driver there, and as many more as the evaluation needs."""
    learner.env_steps = env_steps
    evaluations.tick(env_steps, learner.ask)
    finish(evaluations, learner)


def finish(evaluations: EvaluationSchedule, learner: Learner) -> None:
    give_up_at = time.monotonic() + 60
    while evaluations.busy():
        assert time.monotonic() < give_up_at
        evaluations.tick(learner.env_steps, learner.ask)
        time.sleep(0.01)


def written(directory: Path, env_steps: int) -> dict:
    return json.loads((directory / "eval" / f"{env_steps}.json").read_text())


class SetClock:
    """A clock that tells the time it was set to."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def wait_until(reached: Callable[[], object]) -> None:
    give_up_at = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)
