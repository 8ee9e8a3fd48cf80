"""When another unroll may be collected: the one rule that bounds policy lag and queue fill, in both wirings."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Throttle:
    """Limits of one feeder. Columns ahead are those collected or being collected, and in no batch yet."""

    batch_columns: int
    unroll_columns: int
    max_policy_lag: int
    capacity: int | None
    """Columns that the queue can hold; None when it makes room by itself."""

    def predicted_lag(self, *, columns_ahead: int, updates_begun: int, weight_version: int) -> int:
        """Policy lag that the last column of an unroll begun now with `weight_version` will be used at.

        Every batch that forms before it moves the learner one version on:
        lag = updates begun + ⌊(columns ahead + columns − 1) / batch columns⌋ − version.
        """
        batches_before = (columns_ahead + self.unroll_columns - 1) // self.batch_columns
        return updates_begun + batches_before - weight_version

    def may_collect(self, *, columns_ahead: int, updates_begun: int, weight_version: int) -> bool:
        """Whether an unroll begun now would be fresh enough when used, and would find room."""
        if self.capacity is not None and columns_ahead + self.unroll_columns > self.capacity:
            return False
        lag = self.predicted_lag(
            columns_ahead=columns_ahead, updates_begun=updates_begun, weight_version=weight_version
        )
        return lag <= self.max_policy_lag
