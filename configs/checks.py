"""What no single key can know: combinations of sections that make no sense, each refused with the reason."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from configs.schema import Config


def check_across_sections(config: "Config") -> None:
    """Raises ValueError for the first combination that cannot work; its text says how to mend it."""
    _check_encoder(config)
    _check_replay(config)
    _check_lag(config)
    _check_cluster(config)


def _check_encoder(config: "Config") -> None:
    """ALE always shows frames. What a gymnasium id shows is known when it is built (`models.build.check_encoder`)."""
    kind = config.model.encoder.kind
    if config.env.backend == "ale" and kind != "nature_cnn":
        raise ValueError(
            f"model.encoder.kind {kind} does not fit env.backend ale, which has stacks of frames; "
            "set model.encoder.kind to nature_cnn"
        )


def _check_replay(config: "Config") -> None:
    total = math.fsum(source.share for source in config.replay.sources)
    if not math.isclose(total, 1.0, abs_tol=1e-6):
        raise ValueError(f"the shares of replay.sources add up to {total:g}; they must add up to 1")
    for index, source in enumerate(config.replay.sources):
        needed, reason = _needed_capacity(config, source.overflow)
        if source.capacity < needed:
            raise ValueError(
                f"replay.sources.{index}.capacity {source.capacity} is too small: {reason}; set it to {needed} or more"
            )


def _needed_capacity(config: "Config", overflow: str) -> tuple[int, str]:
    """Columns that a queue must hold for a batch ever to form, and why.

    A blocking queue takes whole unrolls only: one that holds as many columns as it can without filling a batch must
    still have room for another unroll.
    """
    batch, unroll = config.learner.batch_columns, config.actors.envs_per_actor
    if overflow == "drop_oldest":
        return max(batch, unroll), f"a batch has {batch} columns and an unroll {unroll}"
    return _most_without_batch(batch, unroll) + unroll, (
        f"unrolls of {unroll} columns must fit in, with overflow block, until a batch of {batch} is full"
    )


def _check_lag(config: "Config") -> None:
    """Collection waits while an unroll begun now would be too old when it is used: that must not last for ever."""
    batch, unroll = config.learner.batch_columns, config.actors.envs_per_actor
    lag = (_most_without_batch(batch, unroll) + unroll - 1) // batch
    if lag > config.actors.max_policy_lag:
        raise ValueError(
            f"actors.max_policy_lag {config.actors.max_policy_lag} cannot be kept: the last of {unroll} columns of an "
            f"unroll (actors.envs_per_actor) may be {lag} updates of {batch} columns (learner.batch_columns) old; "
            f"allow {lag}, or make learner.batch_columns a multiple of actors.envs_per_actor"
        )


def _most_without_batch(batch: int, unroll: int) -> int:
    """Most columns that can wait without filling a batch: what is left of whole unrolls after whole batches."""
    return batch - math.gcd(batch, unroll)


def _check_cluster(config: "Config") -> None:
    cluster = config.cluster
    uses_gpu = cluster.gpus_per_learner > 0
    if cluster.mode == "inline":
        of_ray = {"address": cluster.address is not None, "gpus_per_learner": uses_gpu,
                  "num_learners": cluster.num_learners > 1, "feeder": cluster.feeder == "actor"}  # fmt: skip
        for key in (key for key, is_set in of_ray.items() if is_set):
            raise ValueError(f"cluster.{key} is for Ray; set cluster.mode to ray, or leave it out")
        return
    _check_ranks(config)
    if cluster.pipeline == "overlapped":
        raise ValueError("cluster.pipeline overlapped is for cluster.mode inline (ray always overlaps); leave it out")
    if config.learner.device == "cuda" and not uses_gpu:
        raise ValueError("learner.device cuda needs a GPU from Ray; set cluster.gpus_per_learner to 1")
    if config.learner.device == "cpu" and uses_gpu:
        raise ValueError("cluster.gpus_per_learner sets a GPU aside that learner.device cpu never uses; set it to 0")
    if config.run.eval is None and cluster.evaluator_cpus > 0:
        raise ValueError("cluster.evaluator_cpus sets CPUs aside that run.eval null never uses; set it to 0")
    if config.actors.device == "cuda":
        raise ValueError(
            "actors.device cuda is for cluster.mode inline (Ray gives rollout actors no GPU); set it to cpu"
        )


def _check_ranks(config: "Config") -> None:
    cluster = config.cluster
    if cluster.num_learners > 1 and cluster.feeder == "driver":
        raise ValueError(
            f"cluster.num_learners {cluster.num_learners} needs a feeder beside each; set cluster.feeder to actor"
        )
    if cluster.num_learners > 1 and 0 < cluster.gpus_per_learner < 1:
        raise ValueError(
            f"cluster.gpus_per_learner {cluster.gpus_per_learner:g}: learner ranks cannot share a GPU; set it to 1"
        )
    if config.actors.count < cluster.num_learners:
        raise ValueError(
            f"actors.count {config.actors.count} leaves learner ranks without a rollout actor; "
            f"set it to cluster.num_learners ({cluster.num_learners}) or more"
        )
    if cluster.answer_timeout_s <= cluster.collective_timeout_s:
        raise ValueError(
            f"cluster.answer_timeout_s {cluster.answer_timeout_s:g} must be longer than cluster.collective_timeout_s "
            f"{cluster.collective_timeout_s:g}, within which a learner says which rank it waits for"
        )
