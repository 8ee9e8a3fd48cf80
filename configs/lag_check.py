"""Whether collection can keep to the policy lag that is allowed, and what would mend it where it cannot."""

import math
from typing import TYPE_CHECKING

from configs.queue_flow import QueueFlow

if TYPE_CHECKING:
    from configs.schema import Config


def check_lag(config: "Config", flow: QueueFlow) -> None:
    """Collection waits while an unroll begun now would be too old when it is used: that must not last for ever.

    Raises:
      ValueError: it would; the text names the changes of which each is enough.
    """
    allowed, lag = config.actors.max_policy_lag, flow.policy_lag()
    if lag > allowed:
        taken = f"{flow.share}, the queue's share of " if flow.replayed else ""
        raise ValueError(
            f"actors.max_policy_lag {allowed} cannot be kept: up to {flow.most_waiting()} columns may wait"
            f"{_why_they_wait(flow)} before the {flow.unroll} of an unroll (actors.envs_per_actor), and an update "
            f"may take no more than {taken}learner.batch_columns {flow.batch}: the last may have a lag of {lag}; "
            f"{', or '.join(_remedies(config, flow))}"
        )


def _why_they_wait(flow: QueueFlow) -> str:
    if flow.max_columns is not None:
        return f" (batches of up to learner.max_columns {flow.max_columns} may leave any number)"
    return " (the queue fills whole batches until the other sources are ready)" if flow.replayed else ""


def _remedies(config: "Config", flow: QueueFlow) -> list[str]:
    """More lag, which GAE does not know, and the other changes that are enough."""
    more_lag = f"set it to {flow.policy_lag()}"
    if config.learner.estimator == "gae":
        more_lag += " and learner.estimator to vtrace"
    allowed = config.actors.max_policy_lag
    enough = [words for words, changed in _changes(config, flow).items() if changed.policy_lag() <= allowed]
    return [more_lag, *(f"set {words}" for words in enough)]


def _changes(config: "Config", flow: QueueFlow) -> dict[str, QueueFlow]:
    """What could be set otherwise, with what would come of it."""
    divisor = math.gcd(flow.unroll, flow.batch, *flow.replayed)
    changes = {f"actors.envs_per_actor to {divisor}": flow._replace(unroll=divisor)}
    multiple = math.ceil(flow.batch / flow.unroll) * flow.unroll
    if flow.max_columns is not None:
        changes["learner.max_columns to null"] = flow._replace(max_columns=None)
    elif not flow.replayed and multiple <= config.replay.sources[0].capacity:
        changes[f"learner.batch_columns to {multiple}"] = flow._replace(batch=multiple)
    return changes
