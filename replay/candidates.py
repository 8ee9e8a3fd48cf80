"""How many columns are compared for each one that is taken."""

import math
from dataclasses import dataclass

_ROUNDING = 1e-9
"""1.15 · 100 is 114.99999999999999."""


@dataclass(frozen=True)
class CandidateSchedule:
    """λ candidates for each column taken; λ falls linearly from `initial` to 1 within `anneal_draws` draws.

    λ = 1 is uniform replay. The first draw is made with λ0 itself.

    Differs from elite-vtrace: it lowers λ before the first draw already (λ0 = 6, 20 000 calls, n = 5: 29 candidates
    instead of 30). There `anneal_draws` is the product of two settings (learning-rate steps · alfa).

    Args:
      initial: λ0 ≥ 1.
      anneal_draws: None: λ stays λ0.
    """

    initial: float
    anneal_draws: int | None = None

    def multiplier(self, draws: int) -> float:
        """λ after so many draws: max(1, λ0 − draws · (λ0 − 1) / anneal_draws)."""
        if self.anneal_draws is None:
            return self.initial
        return max(1.0, self.initial - draws * (self.initial - 1.0) / self.anneal_draws)


def num_candidates(multiplier: float, num_columns: int, held: int) -> int:
    """⌊λ · n⌋, or all that are held if they are fewer."""
    return min(math.floor(multiplier * num_columns + _ROUNDING), held)
