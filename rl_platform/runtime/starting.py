"""Waiting for Ray actors to start."""

import math
import time

import ray
from ray.exceptions import RayError

from rl_platform.runtime.ray_actors import reason
from rl_platform.runtime.run_log import log
from rl_platform.runtime.stop import StopRequest

_WAIT_S = 0.5
"""Longest time between two looks at signals."""
_TELL_AFTER_S = 10.0
"""Actors that have not started by then are logged."""


def started(who: str, answer: ray.ObjectRef, stop: StopRequest, *, limit_s: float = math.inf) -> bool:
    """Wait for an actor's first answer; False if the run was asked to stop before it came.

    Raises:
      RuntimeError: the actor could not start, or not within `limit_s`; one line with its reason.
    """
    began = time.monotonic()
    tell_at = began + _TELL_AFTER_S
    while not ray.wait([answer], timeout=_WAIT_S, fetch_local=False)[0]:
        if stop.made():
            return False
        if time.monotonic() > began + limit_s:
            raise RuntimeError(f"the {who} did not start within {limit_s:.0f} s")
        if time.monotonic() > tell_at:
            tell_at = math.inf
            free = {kind: ray.available_resources().get(kind, 0.0) for kind in ("CPU", "GPU")}
            log.warning("still waiting for the %s to start; Ray has free: %s", who, free)
    try:
        ray.get(answer)
    except RayError as error:
        raise RuntimeError(f"the {who} could not start: {reason(error)}") from error
    return True
