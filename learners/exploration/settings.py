"""What exploration bonuses are made of, as plain values."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RndSettings:
    """How bonuses become returns, and how much the predictor learns."""

    discount: float = 0.99
    """γ of the bonuses' returns, which go on through the ends of episodes."""
    extrinsic_weight: float = 2.0
    intrinsic_weight: float = 1.0
    """What the two advantages are added with."""
    update_proportion: float = 0.25
    """Probability with which the predictor is trained on an observation, at each pass over the batch."""
    init_updates: int = 0
    """Updates in which nothing is learned but the inputs' moments: the untrained policy acts almost at random."""
    on_replayed: bool = False
    """Whether the predictor is trained on replayed columns too."""
