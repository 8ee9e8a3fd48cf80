"""From batches to weights: the `learner` section."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from configs.schedule import ScheduleConfig
from configs.section import SEQUENCE, Section, key

_LEARNING_RATE = "Step size: a number, or a schedule on env steps."
_Beta = Annotated[float, Field(ge=0.0, lt=1.0)]


class Rmsprop(Section):
    """RMSProp with epsilon outside the square root."""

    kind: Literal["rmsprop"] = key("rmsprop", "Which optimiser.")
    learning_rate: ScheduleConfig = key(ScheduleConfig(initial=6e-4), _LEARNING_RATE)
    alpha: float = key(0.99, "Decay of the running mean of squared gradients.", ge=0.0, lt=1.0)
    epsilon: float = key(0.01, "Added to the root of that mean.", gt=0.0)
    momentum: float = key(0.0, "Momentum.", ge=0.0, lt=1.0)


class Adam(Section):
    """Adam (Kingma and Ba 2015)."""

    kind: Literal["adam"] = key("adam", "Which optimiser.")
    learning_rate: ScheduleConfig = key(ScheduleConfig(initial=3e-4), _LEARNING_RATE)
    betas: tuple[_Beta, _Beta] = key((0.9, 0.999), "Decays of the two running means.", **SEQUENCE)
    epsilon: float = key(1e-8, "Added to the root of the second mean.", gt=0.0)


class TermsConfig(Section):
    """Weights of the loss terms beside the policy gradient."""

    entropy: ScheduleConfig = key(
        ScheduleConfig(initial=0.01), "Weight of the policy's entropy (a bonus): a number, or a schedule on env steps."
    )
    value: float = key(0.5, "Weight of the value loss ½(v − V)².", ge=0.0)
    intrinsic_value: float = key(
        0.5, "Weight of the value loss ½(v − V)² of bonuses (where there is learner.rnd).", ge=0.0
    )
    rnd: float = key(1.0, "Weight of the loss of the bonuses' predictor (where there is learner.rnd).", ge=0.0)
    policy_cloning: float = key(
        0.0, "Weight of KL(μ‖π) on replayed columns: stay near the policy that acted (CLEAR).", ge=0.0
    )
    value_cloning: float = key(
        0.0, "Weight of (V − V_μ)² on replayed columns: stay near the values of then (CLEAR).", ge=0.0
    )


class RelevanceConfig(Section):
    """Which states are learned from (LASER): those where the present policy is near enough to the one that acted."""

    policy: Literal["implied", "behaviour"] = key(
        "implied", "What π is compared with: the policy that V-trace evaluates, ∝ min(ρ̄ μ, π), or μ, which acted."
    )
    direction: Literal["pi_first", "tilde_first"] = key("pi_first", "KL(π‖·) or KL(·‖π).")
    threshold: float = key(0.3, "States with a divergence of at least this are left out.", unit="nats", gt=0.0)


class TargetConfig(Section):
    """The target network of objective impact: what ratios are taken to, so that old batches can be used again."""

    every_updates: int = key(4, "Updates from one copy to the next.", unit="updates", ge=1, le=1_000_000)
    tau: float = key(1.0, "Part of the way that it goes to the present network at each copy; 1: all.", gt=0.0, le=1.0)


class KlConfig(Section):
    """KL(π̃‖π) as a loss, its weight adapted so that the divergence stays near a target."""

    coefficient: float = key(1.0, "Weight at the beginning.", gt=0.0)
    target: float = key(0.01, "Divergence below half of which the weight halves; above twice, it grows by half.",
                        unit="nats", gt=0.0)  # fmt: skip


class ReuseConfig(Section):
    """Batches that are used again (the circular buffer of IMPACT)."""

    batches: int = key(1, "Batches kept.", unit="batches", ge=1, le=1_000)
    uses: int = key(1, "How often each is used.", unit="uses", ge=1, le=1_000)


class RndConfig(Section):
    """Bonuses for what is new: random network distillation (Burda et al. 2019)."""

    input: Literal["observation", "embedding"] = key(
        "observation",
        "What a bonus is a function of: the newest frame, or what the policy's encoder makes of the observation.",
    )
    embedding_source: Literal["online", "polyak"] = key(
        "online", "Which encoder makes embeddings: the policy's own, or a copy that follows it."
    )
    tau: float = key(0.01, "Part of the way that the copy goes to the encoder at each move; 1: all (polyak).",
                     gt=0.0, le=1.0)  # fmt: skip
    every_epochs: int = key(1, "Epochs between two moves of the copy (polyak).", unit="epochs", ge=1, le=1_000_000)
    outputs: int = key(512, "Width of what the predictor must predict.", unit="features", ge=1, le=65_536)
    discount: float = key(0.99, "Weight of the next step's value of bonuses; their returns know no episodes.",
                          ge=0.0, lt=1.0)  # fmt: skip
    extrinsic_weight: float = key(2.0, "Weight of the rewards' advantage.", ge=0.0)
    intrinsic_weight: float = key(1.0, "Weight of the bonuses' advantage.", ge=0.0)
    update_proportion: float = key(
        0.25, "Probability that the predictor learns from an observation, at each pass over a batch.",
        unit="probability", gt=0.0, le=1.0,
    )  # fmt: skip
    init_updates: int = key(
        1, "At first only the scale of inputs is learned, while the untrained policy acts almost at random.",
        unit="updates", ge=1, le=1_000_000,
    )  # fmt: skip
    on_replayed: bool = key(False, "Whether the predictor learns from replayed columns too.")


class LearnerConfig(Section):
    """What one update is."""

    batch_columns: int = key(
        32, "Columns in a batch; a column is one environment's unroll.", unit="columns", ge=1, le=65_536
    )
    max_columns: int | None = key(
        None, "A batch takes as many columns as are ready, up to this; null: always batch_columns.",
        unit="columns", ge=1, le=65_536,
    )  # fmt: skip
    discount: float = key(0.99, "Weight of the next step's value, γ.", ge=0.0, le=1.0)
    trace_decay: float = key(1.0, "λ, which shortens the trace.", ge=0.0, le=1.0)
    rho_clip: float = key(1.0, "Upper bound of the importance weight of a temporal difference, ρ̄.", gt=0.0)
    c_clip: float = key(1.0, "Upper bound of the importance weight along the trace, c̄; at most rho_clip.", gt=0.0)
    pg_rho_clip: float = key(1.0, "Upper bound of the importance weight of the policy gradient.", gt=0.0)
    reduction: Literal["sum", "mean"] = key("sum", "How a loss term is put together from the batch's transitions.")
    normalize_advantages: bool = key(
        False, "Whether advantages are brought to mean 0 and standard deviation 1 over all learners' transitions."
    )
    reward_transform: Literal["clamp", "sign", "none"] = key(
        "clamp", "What the learner sees of a reward, scaled: clamped to ±1, its sign, or the reward itself."
    )
    reward_scale: float = key(1.0, "What a reward is multiplied with, before reward_transform.", gt=0.0)
    estimator: Literal["vtrace", "gae"] = key(
        "vtrace", "What estimates value targets and advantages: V-trace, or GAE, which is for on-policy batches."
    )
    objective: Literal["vtrace", "ppo", "impact"] = key(
        "vtrace", "What improves the policy: the policy gradient, PPO's clipped surrogate, or IMPACT's (APPO)."
    )
    clip: float = key(0.2, "Ratios further from 1 than this have no gradient (ppo, impact).", gt=0.0, lt=1.0)
    epochs: int = key(1, "How often a batch is gone through (ppo, impact).", unit="epochs", ge=1, le=1_000)
    minibatches: int = key(1, "Parts of a batch, one step for each (ppo, impact).", unit="steps", ge=1, le=65_536)
    target: TargetConfig = key(TargetConfig(), "The target network (impact).")
    kl: KlConfig | None = key(None, "Hold the policy near the target network's (impact); null: only the clip does.")
    reuse: ReuseConfig = key(ReuseConfig(), "Batches that are used again (impact).")
    relevance: RelevanceConfig | None = key(None, "Which states are learned from (LASER); null: all.")
    rnd: RndConfig | None = key(None, "Bonuses for what is new (ppo, vtrace); null: none.")
    optimizer: Rmsprop | Adam = key(Rmsprop(), "What turns gradients into steps.", discriminator="kind")
    gradient_clip: float | None = key(40.0, "Upper bound of the gradient's global norm; null: none.", gt=0.0)
    terms: TermsConfig = key(TermsConfig(), "Weights of the loss terms beside the policy gradient.")
    device: Literal["auto", "cpu", "cuda"] = key(
        "auto", "Where updates run; auto: cuda where there is one, over Ray only with cluster.gpus_per_learner."
    )

    @model_validator(mode="after")
    def _check(self) -> "LearnerConfig":
        if self.c_clip > self.rho_clip:
            raise ValueError(
                f"c_clip ({self.c_clip:g}) exceeds rho_clip ({self.rho_clip:g}): V-trace may not converge then; "
                "lower c_clip or raise rho_clip"
            )
        return self
