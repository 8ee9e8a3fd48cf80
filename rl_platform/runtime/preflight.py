"""What can be known to fail before anything of a run is written or started."""

import torch

from configs.schema import Config
from rl_platform.core.spec import EnvSpec
from rl_platform.runtime import build, build_envs
from rl_platform.runtime.errors import InputError, blaming
from rl_platform.runtime.replay_memory import check_replay_fits, column_bytes, physical_memory


def preflight(config: Config) -> EnvSpec:
    """What the environment looks like.

    Raises:
      InputError: this machine cannot provide it, its network or its devices, or has no room for what replay may keep.
    """
    _check_devices(config)
    spec = environment_spec(config)
    try:
        network = build.make_network(config, spec)
    except ValueError as error:  # names the key itself
        raise InputError(str(error)) from error
    _check_actions(config, spec)
    check_replay_fits(config, column_bytes(config, spec, network.memory_size), physical_memory())
    return spec


def environment_spec(config: Config) -> EnvSpec:
    """What the config's environment looks like; InputError, naming it, if it cannot be made here."""
    with blaming(f"env.id {config.env.id}", Exception):  # a constructor raises whatever its author liked
        return build_envs.env_spec(config)


def _check_actions(config: Config, spec: EnvSpec) -> None:
    relevance = config.learner.relevance
    if relevance is not None and relevance.policy == "implied" and spec.action.kind != "categorical":
        raise InputError(
            f"learner.relevance.policy implied is known for discrete actions alone, and {spec.name} has others; "
            "set it to behaviour"
        )


def _check_devices(config: Config) -> None:
    if config.cluster.mode == "ray" or torch.cuda.is_available():
        return  # Ray finds a machine for the learner, or says that the cluster has none
    devices = {"learner.device": config.learner.device, "actors.device": config.actors.device,
               "replay.scorer.device": config.replay.scorer.device}  # fmt: skip
    for key, device in devices.items():
        if device == "cuda":
            raise InputError(f"{key} cuda: PyTorch finds no CUDA device here; set {key} to cpu")
