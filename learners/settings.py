"""What an update is made of, as plain values; ranges are those of the configuration's `learner` section."""

from dataclasses import dataclass
from typing import Literal

from learners.exploration.settings import RndSettings
from learners.relevance import Relevance
from learners.rewards import RewardTransform

Estimator = Literal["vtrace", "gae"]
PolicyObjective = Literal["vtrace", "ppo", "impact"]
Reduction = Literal["sum", "mean"]


@dataclass(frozen=True)
class ImpactSettings:
    """What IMPACT adds to V-trace and a clipped surrogate (Luo et al. 2020)."""

    target_every: int = 1
    """Updates between two changes of the target network."""
    target_tau: float = 1.0
    """How far it then moves towards the present network; 1 makes it a copy."""
    kl_coefficient: float = 0.0
    """First weight of KL(π̃ ‖ π), adapted after every update; 0: without that term."""
    kl_target: float = 0.01
    """Divergence in nats that the weight is adapted to."""
    buffer_batches: int = 1
    """Batches held for reuse, at most."""
    buffer_uses: int = 1
    """How often each batch is trained on over its life."""

    def __post_init__(self) -> None:
        assert self.target_every >= 1 and 0 < self.target_tau <= 1, (self.target_every, self.target_tau)
        assert self.kl_coefficient >= 0 and self.kl_target > 0, (self.kl_coefficient, self.kl_target)


@dataclass(frozen=True)
class LearnerSettings:
    """Which returns are estimated, what is minimised, and in how many gradient steps."""

    estimator: Estimator = "vtrace"
    objective: PolicyObjective = "vtrace"
    epochs: int = 1
    """How often an update goes through a batch."""
    minibatches: int = 1
    """Gradient steps in each epoch."""
    discount: float = 0.99
    trace_decay: float = 1.0
    rho_clip: float = 1.0
    c_clip: float = 1.0
    pg_rho_clip: float = 1.0
    """Has no meaning for PPO, whose surrogate holds the whole ratio."""
    ratio_clip: float = 0.2
    """ε of the clipped surrogates of PPO and IMPACT."""
    reduction: Reduction = "sum"
    reward_transform: RewardTransform = "clamp"
    reward_scale: float = 1.0
    """Multiplies a reward before it is transformed."""
    normalize_advantages: bool = False
    value_weight: float = 0.5
    intrinsic_value_weight: float = 0.5
    rnd_weight: float = 1.0
    """Weights of the terms that come with bonuses."""
    policy_cloning_weight: float = 0.0
    value_cloning_weight: float = 0.0
    """Weights of CLEAR's terms on replayed columns; 0: without them."""
    relevance: Relevance | None = None
    """Which steps are learned from (LASER); None: all valid ones."""
    impact: ImpactSettings = ImpactSettings()
    rnd: RndSettings | None = None
    """Bonuses for what is new; None: without."""

    def __post_init__(self) -> None:
        assert self.epochs >= 1 and self.minibatches >= 1, (self.epochs, self.minibatches)
        assert self.estimator == "vtrace" or self.objective == "ppo", "gae leaves the correction to PPO's ratio"
        assert self.objective == "impact" or self.impact == ImpactSettings(), "settings of another objective"
        assert self.rnd is None or self.objective != "impact", "bonuses of batches that are used again are not built"

    @property
    def penalizes_target_kl(self) -> bool:
        """Whether the objective has a term KL(π̃ ‖ π)."""
        return self.impact.kl_coefficient > 0
