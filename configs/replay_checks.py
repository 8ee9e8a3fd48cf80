"""What the replay sources, the batch and the policy lag must have to do with each other."""

import math
from typing import TYPE_CHECKING

from configs.lag_check import check_lag
from configs.queue_flow import QueueFlow
from configs.source_checks import check_source

if TYPE_CHECKING:
    from configs.schema import Config


def check_replay(config: "Config") -> None:
    """Raises ValueError for the first combination that cannot work; its text says how to mend it."""
    _check_shares(config)
    flow = _flow(config)
    _check_growth(flow)
    _check_queue(config, flow)
    for index, source in enumerate(config.replay.sources[1:], 1):
        check_source(index, source, flow)
    check_lag(config, flow)
    _check_scorer(config)


def columns_of(config: "Config", share: float) -> int:
    """A source's columns in a batch of `learner.batch_columns`."""
    return round(share * config.learner.batch_columns)


def _flow(config: "Config") -> QueueFlow:
    return QueueFlow(
        unroll=config.actors.envs_per_actor,
        batch=config.learner.batch_columns,
        replayed=tuple(columns_of(config, source.share) for source in config.replay.sources[1:]),
        max_columns=config.learner.max_columns,
    )


def _check_shares(config: "Config") -> None:
    """Twelve digits are shown: with fewer, a share that is wrong in the seventh would look right."""
    shares, batch = [source.share for source in config.replay.sources], config.learner.batch_columns
    total = math.fsum(shares)
    if not math.isclose(total, 1.0, abs_tol=1e-6):
        raise ValueError(f"the shares of replay.sources add up to {total:.12g}; they must add up to 1")
    for index, share in enumerate(shares):
        whole = max(columns_of(config, share), 1)
        if not math.isclose(share * batch, whole, abs_tol=1e-6):
            raise ValueError(
                f"replay.sources.{index}.share {share:.12g} of learner.batch_columns {batch} is {share * batch:.12g} "
                f"columns; it must be a whole number of them, such as {whole / batch:.12g} for {whole}"
            )


def _check_growth(flow: QueueFlow) -> None:
    most, grown = flow.max_columns, flow.batch + flow.step
    if most is None or most >= grown:
        return
    if most < flow.batch:
        raise ValueError(
            f"learner.max_columns {most} is below learner.batch_columns {flow.batch}; raise it, or set it to null"
        )
    raise ValueError(
        f"learner.max_columns {most} lets no batch grow, from learner.batch_columns {flow.batch} on in steps of "
        f"{flow.step} that keep the shares exact; set it to null, or to {grown} or more"
    )


def _check_queue(config: "Config", flow: QueueFlow) -> None:
    queue = config.replay.sources[0]
    needed, reason = _needed_capacity(flow, queue.overflow)
    if queue.capacity < needed:
        raise ValueError(
            f"replay.sources.0.capacity {queue.capacity} is too small: {reason}; set it to {needed} or more"
        )


def _needed_capacity(flow: QueueFlow, overflow: str) -> tuple[int, str]:
    """Columns that the queue must hold for a batch ever to form, and why; it may have to serve whole batches.

    A blocking queue takes whole unrolls only: one that holds as many columns as it can without filling a batch must
    still have room for another unroll.
    """
    if overflow == "drop_oldest":
        return max(flow.batch, flow.unroll), f"a batch has {flow.batch} columns and an unroll {flow.unroll}"
    return flow.most_waiting() + flow.unroll, (
        f"unrolls of {flow.unroll} columns must fit in, with overflow block, until a batch of {flow.batch} is full"
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
