"""Behaviour relevance: which steps the present policy may learn from (Schmitt et al. 2020, LASER)."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from rl_platform.core.distributions import ActionDistribution, Categorical


@dataclass(frozen=True)
class Relevance:
    """How the present policy π is compared with the one that acted, μ; names are those of `learner.relevance`."""

    policy: Literal["implied", "behaviour"] = "implied"
    """What π is compared with: π̃ ∝ min(ρ̄ μ, π), the policy whose value V-trace learns, or μ itself."""
    direction: Literal["pi_first", "tilde_first"] = "pi_first"
    """KL(π ‖ π̃) or KL(π̃ ‖ π); π̃ is μ where μ itself is compared."""
    threshold: float = 0.3
    """In nats: a step with a divergence below it is accepted. 0 accepts none, ∞ all."""


@torch.no_grad()
def relevant(
    relevance: Relevance, *, distribution: ActionDistribution, params: Tensor, behaviour: Tensor, rho_clip: float
) -> Tensor:
    """True at the steps that are accepted [T, B] bool; use it as `valid & relevant`.

    A rejected step is then treated as invalid by V-trace and every loss: its predecessor bootstraps from its value.
    Whole distributions are compared, so what is kept does not depend on the action that was drawn.
    Where the divergence is NaN the step is accepted: a fault must show in the loss, not vanish with the step.

    Args:
      params, behaviour: [T, B, P] of π, for IMPACT its target network's, and of μ.
      rho_clip: ρ̄ of V-trace (∞: π̃ is π, and every step is accepted).

    Raises:
      ValueError: the implied policy of a distribution that is not categorical: it has no closed form.
    """
    compared = behaviour
    if relevance.policy == "implied":
        if not isinstance(distribution, Categorical):
            raise ValueError("learner.relevance.policy: implied needs discrete actions; use behaviour")
        compared = implied_policy(params, behaviour, rho_clip)
    pair = (params, compared) if relevance.direction == "pi_first" else (compared, params)
    # A divergence that rounds to just below 0 is still not below a threshold of 0.
    return ~(distribution.kl(*pair).clamp_min(0) >= relevance.threshold)


def implied_policy(params: Tensor, behaviour: Tensor, rho_clip: float) -> Tensor:
    """π̃(a) ∝ min(ρ̄ μ(a), π(a)), categorical, as unnormalised log-probabilities [..., P] like its arguments.

    V-trace's fixed point is the value of this policy (Espeholt et al. 2018, §4.1).
    """
    return torch.minimum(behaviour.log_softmax(-1) + math.log(rho_clip), params.log_softmax(-1))
