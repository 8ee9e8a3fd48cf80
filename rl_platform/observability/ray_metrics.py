"""Metrics rows at the Prometheus endpoint that every Ray node has."""

import math
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ray.util.metrics import Gauge

_PREFIX = "rl_platform_"


class RayMetrics:
    """Shows the values of metrics rows as gauges `ray_rl_platform_<key>` with the tag `run`, as long as Ray is there.

    All of them are gauges: even a total such as env_steps falls when a run goes on from an earlier checkpoint. A value
    that is not finite is passed over, so a gauge keeps what was last known. Without Ray, nothing happens: an inline run
    neither needs nor imports it.
    """

    def __init__(self, run: str) -> None:
        self._tags = {"run": run}
        self._gauges: dict[str, Gauge] = {}

    def write(self, row: Mapping[str, float]) -> None:
        """Set every gauge; Ray exports them at its own pace (RAY_metrics_report_interval_ms, 10 s by default)."""
        ray = sys.modules.get("ray")
        if ray is None or not ray.is_initialized():
            return
        for key, value in row.items():
            if math.isfinite(value):
                self._gauge(key).set(value, tags=self._tags)

    def _gauge(self, key: str) -> "Gauge":
        from ray.util.metrics import Gauge  # Ray is loaded already, see `write`

        if key not in self._gauges:
            self._gauges[key] = Gauge(metric_name(key), f"{key} of metrics.jsonl", tag_keys=tuple(self._tags))
        return self._gauges[key]


def metric_name(key: str) -> str:
    """The metric of a row's key: `loss/value` is `rl_platform_loss_value` (Ray puts `ray_` before it)."""
    return _PREFIX + re.sub(r"[^a-zA-Z0-9_]", "_", key)
