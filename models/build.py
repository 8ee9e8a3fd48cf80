"""Networks from plain values."""

from collections.abc import Mapping
from typing import Any

import torch

from models.actor_critic import ActorCritic
from models.encoders import ENCODERS
from rl_platform.core.distributions import distribution_of
from rl_platform.core.spec import EnvSpec


def build_actor_critic(
    spec: EnvSpec, *, encoder: Mapping[str, Any], num_value_heads: int = 1, seed: int
) -> ActorCritic:
    """The network for an environment, on the CPU in float32; equal seeds give equal weights.

    Args:
      encoder: `kind`, a key of `ENCODERS`, and that encoder's keyword arguments.
      seed: of the initial weights. The global generator is left as it was.

    Raises:
      ValueError: the encoder does not fit the observations.
    """
    kind, settings = encoder["kind"], {name: value for name, value in encoder.items() if name != "kind"}
    with torch.random.fork_rng(devices=[]):  # layers, users' own included, draw their weights from the global generator
        torch.default_generator.manual_seed(seed)
        trunk = ENCODERS[kind](spec.observation_shape, spec.observation_dtype, **settings)
        return ActorCritic(trunk, distribution_of(spec.action).num_params, num_value_heads)
