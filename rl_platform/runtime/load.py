"""A trained policy from a run's folder or a checkpoint, for evaluation and for users' own programs."""

from pathlib import Path

import numpy as np
import torch

from actors.policy import TorchPolicy
from configs.loader import load_config
from configs.schema import Config
from models.actor_critic import ActorCritic
from rl_platform.core.flat import FlatParameters
from rl_platform.core.spec import ActionSpec, EnvSpec
from rl_platform.core.types import Weights
from rl_platform.runtime import build
from rl_platform.runtime.checkpoint import State, load_checkpoint, load_newest
from rl_platform.runtime.errors import InputError, blaming
from rl_platform.runtime.preflight import environment_spec

MISFIT = "the checkpoint does not fit its run's config.yaml"


class LoadedPolicy:
    """Acts as a trained network does; holds no state of its own but the random generator of sampled actions."""

    def __init__(self, policy: TorchPolicy, action: ActionSpec):
        self._policy, self._action = policy, action

    def initial_state(self, num_envs: int) -> np.ndarray:
        """Memory state [N, M] at the start of an episode."""
        return self._policy.initial_memory(num_envs)

    def act(self, observations: np.ndarray, state: np.ndarray, greedy: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Actions [N] or, within their bounds, [N, A], for observations [N, …], and the next state.

        Start an episode from `initial_state`.
        """
        is_first = np.zeros(len(observations), bool)
        choice = self._policy.act(np.asarray(observations), is_first, state, greedy=greedy)
        if self._action.kind == "categorical":
            return choice.action, choice.memory
        return np.clip(choice.action, self._action.low, self._action.high), choice.memory


def load_policy(run_or_checkpoint: str | Path, *, seed: int | None = None) -> LoadedPolicy:
    """The policy of a checkpoint, or of the newest whole checkpoint of a run. `seed` is that of sampled actions."""
    config, state, _ = read_run(Path(run_or_checkpoint))
    policy = make_trained_policy(config, state, seed=config.run.seed if seed is None else seed)
    return LoadedPolicy(policy, environment_spec(config).action)


def read_run(path: Path) -> tuple[Config, State, Path]:
    """Config, state and checkpoint folder of a run or of one of its checkpoints."""
    path = path.resolve()  # "." and "100", said inside a run's folder, have the run as a parent too
    is_checkpoint = (path / "manifest.json").exists()
    run_dir = path.parent.parent if is_checkpoint else path
    if not (run_dir / "config.yaml").exists():
        raise InputError(f"{path} is neither a run's folder nor a checkpoint in one")
    config = load_config(str(run_dir / "config.yaml"))
    if is_checkpoint:
        return config, load_checkpoint(path), path
    found = load_newest(run_dir / "checkpoints", report=print)
    if found is None:
        raise InputError(f"{path} holds no checkpoint yet")
    return config, found[1], found[0]


def make_trained_policy(config: Config, state: State, *, seed: int) -> TorchPolicy:
    """A policy that acts with the weights of a checkpoint, on the CPU where the run's device is not there."""
    config = _on_present_device(config)
    spec = environment_spec(config)
    network = make_trained_network(config, spec, state)
    policy = build.make_policy(config, spec, seed=seed)
    policy.load(Weights(state["updates"], FlatParameters(network).numpy()))
    return policy


def make_trained_network(config: Config, spec: EnvSpec, state: State) -> ActorCritic:
    """The network of a checkpoint, on the CPU.

    Raises:
      InputError: it is not the one that the config describes.
    """
    network = build.make_network(config, spec)
    with blaming(MISFIT, RuntimeError):
        network.load_state_dict({name: torch.tensor(array) for name, array in state["model"].items()})
    return network


def _on_present_device(config: Config) -> Config:
    if torch.cuda.is_available():
        return config
    return config.model_copy(update={"actors": config.actors.model_copy(update={"device": "cpu"})})
