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


class LearnerConfig(Section):
    """What one update is."""

    batch_columns: int = key(
        32, "Columns in a batch; a column is one environment's unroll.", unit="columns", ge=1, le=65_536
    )
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
        "clamp", "What the learner sees of a reward: clamped to ±1, its sign, or the reward itself."
    )
    estimator: Literal["vtrace"] = key("vtrace", "What estimates value targets and advantages.")
    objective: Literal["vtrace"] = key("vtrace", "What improves the policy.")
    optimizer: Rmsprop | Adam = key(Rmsprop(), "What turns gradients into steps.", discriminator="kind")
    gradient_clip: float | None = key(40.0, "Upper bound of the gradient's global norm; null: none.", gt=0.0)
    terms: TermsConfig = key(TermsConfig(), "Weights of the loss terms beside the policy gradient.")
    device: Literal["auto", "cpu", "cuda"] = key("auto", "Where updates run; auto: cuda where there is one.")

    @model_validator(mode="after")
    def _check(self) -> "LearnerConfig":
        if self.c_clip > self.rho_clip:
            raise ValueError(
                f"c_clip ({self.c_clip:g}) exceeds rho_clip ({self.rho_clip:g}), for which V-trace has no fixed point; "
                "lower c_clip or raise rho_clip"
            )
        return self
