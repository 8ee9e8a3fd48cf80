"""What the replay sources, the batch and the policy lag must have to do with each other."""

import math
from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from configs.replay import ReservoirSource, UniformSource
    from configs.schema import Config


def check_replay(config: "Config") -> None:
    """Raises ValueError for the first combination that cannot work; its text says how to mend it."""
    _check_shares(config)
    _check_queue(config)
    for index, source in enumerate(config.replay.sources[1:], 1):
        _check_replayed(config, index, source)
    _check_lag(config)
    _check_scorer(config)


def columns_of(config: "Config", share: float) -> int:
    """A source's columns in a batch of `learner.batch_columns`."""
    return round(share * config.learner.batch_columns)


def _check_shares(config: "Config") -> None:
    shares, batch = [source.share for source in config.replay.sources], config.learner.batch_columns
    total = math.fsum(shares)
    if not math.isclose(total, 1.0, abs_tol=1e-6):
        raise ValueError(f"the shares of replay.sources add up to {total:g}; they must add up to 1")
    for index, share in enumerate(shares):
        if not math.isclose(share * batch, columns_of(config, share), abs_tol=1e-6):
            raise ValueError(
                f"replay.sources.{index}.share {share:g} of learner.batch_columns {batch} is {share * batch:g} "
                "columns; it must be a whole number of them"
            )
    most = config.learner.max_columns
    if most is not None and most < batch:
        raise ValueError(
            f"learner.max_columns {most} is below learner.batch_columns {batch}; raise it, or set it to null"
        )


def _check_queue(config: "Config") -> None:
    queue = config.replay.sources[0]
    needed, reason = _needed_capacity(config, queue.overflow)
    if queue.capacity < needed:
        raise ValueError(
            f"replay.sources.0.capacity {queue.capacity} is too small: {reason}; set it to {needed} or more"
        )


def _needed_capacity(config: "Config", overflow: str) -> tuple[int, str]:
    """Columns that the queue must hold for a batch ever to form, and why; it may have to serve whole batches.

    A blocking queue takes whole unrolls only: one that holds as many columns as it can without filling a batch must
    still have room for another unroll.
    """
    batch, unroll = config.learner.batch_columns, config.actors.envs_per_actor
    if overflow == "drop_oldest":
        return max(batch, unroll), f"a batch has {batch} columns and an unroll {unroll}"
    return _most_without_batch(config) + unroll, (
        f"unrolls of {unroll} columns must fit in, with overflow block, until a batch of {batch} is full"
    )


def _check_replayed(config: "Config", index: int, source: "UniformSource | ReservoirSource") -> None:
    taken = columns_of(config, source.share)
    if not taken <= source.min_fill <= source.capacity:
        raise ValueError(
            f"replay.sources.{index}.min_fill {source.min_fill} must be at least the {taken} columns that a batch "
            f"takes, and at most the capacity {source.capacity}"
        )
    most = round(source.share * (config.learner.max_columns or 0))
    if source.capacity < most:
        raise ValueError(
            f"replay.sources.{index}.capacity {source.capacity} is less than the {most} columns that a batch of "
            f"learner.max_columns takes; set it to {most} or more"
        )
    if source.capacity < config.actors.envs_per_actor:
        raise ValueError(
            f"replay.sources.{index}.capacity {source.capacity} is too small for an unroll; "
            f"set it to actors.envs_per_actor ({config.actors.envs_per_actor}) or more"
        )


def _check_lag(config: "Config") -> None:
    """Collection waits while an unroll begun now would be too old when it is used: that must not last for ever."""
    unroll = config.actors.envs_per_actor
    online = columns_of(config, config.replay.sources[0].share)
    lag = (_most_without_batch(config) + unroll - 1) // online
    if lag > config.actors.max_policy_lag:
        raise ValueError(
            f"actors.max_policy_lag {config.actors.max_policy_lag} cannot be kept: the last of {unroll} columns of an "
            f"unroll (actors.envs_per_actor) may be {lag} updates of {online} columns (learner.batch_columns) old; "
            f"allow {lag}, or make learner.batch_columns a multiple of actors.envs_per_actor"
        )


def _check_scorer(config: "Config") -> None:
    scorer, uses_ray = config.replay.scorer, config.cluster.mode == "ray"
    if scorer.gpus > 0 and not uses_ray:
        raise ValueError("replay.scorer.gpus is for Ray; set cluster.mode to ray, or leave it out")
    if scorer.gpus > 0 and scorer.device == "cpu":
        raise ValueError("replay.scorer.gpus sets a GPU aside that replay.scorer.device cpu never uses; set it to 0")
    if scorer.device == "cuda" and all(source.kind not in ("attentive", "elite") for source in config.replay.sources):
        raise ValueError("replay.scorer.device cuda: no replay source compares features; set it to cpu")
    if scorer.device == "cuda" and uses_ray:
        _check_gpus(scorer.gpus, config.cluster.gpus_per_learner)


def _check_gpus(of_scorer: float, of_learner: float) -> None:
    """Each must find its part on one GPU: of more than one, Ray sets aside whole ones and one remaining part."""
    if of_scorer == 0:
        raise ValueError("replay.scorer.device cuda needs a GPU from Ray; set replay.scorer.gpus to 1, or to a part")
    if of_learner + of_scorer > 1 and max(of_learner, of_scorer) < 1:
        raise ValueError(
            f"cluster.gpus_per_learner {of_learner:g} and replay.scorer.gpus {of_scorer:g} do not fit on one GPU; "
            "let them add up to 1 or less, or set one of them to 1"
        )


def _most_without_batch(config: "Config") -> int:
    """Most columns that can wait without filling a batch: what is left of whole unrolls after whole batches.

    A batch takes the more from the queue the fewer sources are ready. They become so one after the other, so that what
    waits when a batch takes `columns` was left by batches that took as many or more.
    """
    takes = _takes(config)
    return max(
        columns - math.gcd(config.actors.envs_per_actor, *(step for taken, step in takes.items() if taken >= columns))
        for columns in takes
    )


def _takes(config: "Config") -> dict[int, int]:
    """What a smallest batch may take from the queue, any of the sources being ready, and by which steps it grows."""
    batch = config.learner.batch_columns
    replayed = [columns_of(config, source.share) for source in config.replay.sources[1:]]
    units = 1 if config.learner.max_columns is None else math.gcd(batch, *replayed)
    ready = (subset for size in range(len(replayed) + 1) for subset in combinations(replayed, size))
    return {taken: taken // units for taken in (batch - sum(subset) for subset in ready)}
