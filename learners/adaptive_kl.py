"""The coefficient of a KL penalty, adapted to keep the divergence near a target."""

from typing import Any

_FACTOR = 1e6
"""How far the coefficient may move from its first value, either way."""


class AdaptiveKl:
    """Raises the coefficient ×1.5 after KL > 2·target, lowers it ×0.5 after KL < 0.5·target (Schulman et al. 2017, §4).

    Differs from the paper: the factors are 1.5 and 0.5, as in RLlib, for 2 and ½; the bounds of the band are 2 and ½
    for 1.5 and 1/1.5; and the coefficient stays within a factor of 10⁶ of its first value, because one that underflows
    to 0 never grows again.

    Args:
      initial: first coefficient, > 0.
      target: mean divergence in nats, > 0.
    """

    def __init__(self, initial: float, target: float):
        assert initial > 0 and target > 0, (initial, target)
        self._lowest, self._highest = initial / _FACTOR, initial * _FACTOR
        self._coefficient, self._target = initial, target

    @property
    def coefficient(self) -> float:
        """What the penalty is multiplied by now."""
        return self._coefficient

    def update(self, kl: float) -> None:
        """Adapt to the mean divergence, in nats, of the latest update."""
        if kl > 2 * self._target:
            self._coefficient = min(self._coefficient * 1.5, self._highest)
        elif kl < 0.5 * self._target:
            self._coefficient = max(self._coefficient * 0.5, self._lowest)

    def state_dict(self) -> dict[str, Any]:
        """What updates change."""
        return {"coefficient": self._coefficient}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state` was taken."""
        self._coefficient = float(state["coefficient"])
