"""Networks from plain values."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from models.actor_critic import ActorCritic
from models.encoders import ENCODERS
from models.heads import HeadKind, policy_head, value_head
from models.normalizer import ObservationNormalizer, check_normalizable
from rl_platform.core.spec import EnvSpec


def check_encoder(spec: EnvSpec, kind: str) -> None:
    """Refuse an encoder that cannot read an environment's observations.

    Raises:
      ValueError: it cannot; the text names one that can, or what each of them needs.
    """
    shape, dtype = spec.observation_shape, spec.observation_dtype
    fitting = [name for name, encoder in ENCODERS.items() if encoder.fits(shape, dtype)]
    if kind in fitting:
        return
    seen = f"{spec.name} has observations of {dtype} {shape}, which "
    if fitting:
        raise ValueError(f"model.encoder.kind: {seen}{kind} cannot read; set model.encoder.kind to {fitting[0]}")
    needs = ", ".join(f"{name} needs {encoder.reads}" for name, encoder in ENCODERS.items())
    raise ValueError(f"model.encoder.kind: {seen}no encoder can read ({needs}); choose another env.id")


def build_actor_critic(spec: EnvSpec, *, encoder: Mapping[str, Any], num_value_heads: int = 1,
                       heads: HeadKind = "linear", separate_value: bool = False,
                       normalize_observations: bool = False, seed: int) -> ActorCritic:  # fmt: skip
    """The network for an environment, on the CPU in float32; equal seeds give equal weights.

    Args:
      encoder: `kind`, a key of `ENCODERS`, and that encoder's keyword arguments.
      heads: of policy and values.
      separate_value: build the encoder twice, the second for the value head alone.
      normalize_observations: with a normaliser, whose moments are still 0 and 1.
      seed: of the initial weights. The global generator is left as it was.

    Raises:
      ValueError: the encoder cannot read the observations, or they cannot be normalised.
    """
    check_encoder(spec, encoder["kind"])
    if normalize_observations:
        check_normalizable(spec)
    with torch.random.fork_rng(devices=[]):  # layers, users' own included, draw their weights from the global generator
        torch.default_generator.manual_seed(seed)
        trunk = _encoder(spec, **encoder)
        policy = policy_head(trunk.embedding, spec.action, heads)
        value_encoder = _encoder(spec, **encoder) if separate_value else None
        value = value_head(trunk.embedding, num_value_heads, heads)
    normalizer = ObservationNormalizer(spec.observation_shape) if normalize_observations else None
    return ActorCritic(trunk, policy, value, value_encoder=value_encoder, normalizer=normalizer)


def _encoder(spec: EnvSpec, *, kind: str, **settings: Any) -> nn.Module:
    return ENCODERS[kind](spec.observation_shape, spec.observation_dtype, **settings)
