"""What a replay source must hold, and be able to choose from, for batches of the given sizes."""

import math

from configs.queue_flow import QueueFlow
from configs.replay import AttentiveSource, EliteSource, ReservoirSource, UniformSource

ReplayedSource = UniformSource | ReservoirSource | AttentiveSource | EliteSource

_ROUNDING = 1e-9
"""1.15 · 100 is 114.99999999999999, and counts as 115 when candidates are drawn."""


def check_source(index: int, source: ReplayedSource, flow: QueueFlow) -> None:
    """Raises ValueError for the first number of `replay.sources.<index>` that cannot work, or has no effect."""
    taken, most = flow.replayed[index - 1], flow.most_replayed[index - 1]
    _check_capacity(f"replay.sources.{index}", source, taken, most, flow.unroll)
    if isinstance(source, AttentiveSource | EliteSource):
        _check_candidates(f"replay.sources.{index}", source.candidates.initial, most)
    if isinstance(source, EliteSource) and source.insertion_tries > source.capacity:
        raise ValueError(
            f"replay.sources.{index}.insertion_tries {source.insertion_tries} are more than the columns of a full "
            f"source; set it to {source.capacity} or less"
        )


def _check_capacity(key: str, source: ReplayedSource, taken: int, most: int, unroll: int) -> None:
    if not taken <= source.min_fill <= source.capacity:
        raise ValueError(
            f"{key}.min_fill {source.min_fill} must be at least the {taken} columns that a batch takes, and at most "
            f"the capacity {source.capacity}"
        )
    if source.capacity < most:
        raise ValueError(
            f"{key}.capacity {source.capacity} is less than the {most} columns that a batch of learner.max_columns "
            f"takes; set it to {most} or more"
        )
    if source.capacity < unroll:
        raise ValueError(
            f"{key}.capacity {source.capacity} is too small for an unroll; set it to actors.envs_per_actor ({unroll}) "
            "or more"
        )


def _check_candidates(key: str, initial: float, most: int) -> None:
    """⌊λ · n⌋ are drawn for n columns. λ = 1 asks for a uniform draw; one above 1 that comes to the same does not.

    Args:
      most: n of the largest batch, which has the most to choose from.
    """
    if initial == 1.0 or math.floor(initial * most + _ROUNDING) > most:
        return
    least = math.ceil((1.0 + 1.0 / most) * 10_000) / 10_000
    raise ValueError(
        f"{key}.candidates.initial {initial} draws {most} candidates for {most} columns, and all are taken; set it to "
        f"{least:g} or more, or to 1 for uniform draws"
    )
