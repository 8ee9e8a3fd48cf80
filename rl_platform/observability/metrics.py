"""What a run has done so far, in numbers: pure accumulation, no files, no terminal."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rl_platform.core.types import RolloutInfo, ShardStatus, UpdateInfo
from rl_platform.observability.averages import Averages, mean_of
from rl_platform.observability.episodes import EpisodeWindow
from rl_platform.observability.evaluations import Evaluation, EvaluationSeries
from rl_platform.observability.histograms import Samples, quantiles
from rl_platform.observability.rate import Commit, StepRate
from rl_platform.observability.rooms import RoomStatistics

POLICY_LAG = "policy_lag_mean"
"""The learner's metric for its version minus the versions that acted, averaged over a batch's columns."""


class RunStatistics:
    """Turns the small reports of actors, replay and learner into metrics rows and the run's summary.

    `env_steps` are the learner's committed ones. Times come from `clock` (seconds, monotonic); the run's wall time
    starts with the construction and, after `load_state_dict`, carries on from the checkpoint's.
    """

    def __init__(
        self, *, frame_skip: int, task_names: Sequence[str] = ("",), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._frame_skip = frame_skip
        self._clock = clock
        self._started_s = clock()
        self._earlier_wall_s = 0.0
        self._env_steps = 0
        self._learner_updates = 0
        self._counts = {"unrolls_lost": 0, "columns_dropped": 0, "actors_restarted": 0}
        self._counts |= {"updates_skipped": 0, "env_faults": 0, "evaluations_failed": 0, "env_steps_lost": 0}
        self._episodes = EpisodeWindow(task_names)
        self.rooms = RoomStatistics()
        self._evaluations = EvaluationSeries()
        self._rate = StepRate()
        self._lag_sum, self._lag_count = 0.0, 0
        self._update_averages = Averages()
        self._flow_averages = Averages()
        self._samples = Samples()
        self.histograms: dict[str, np.ndarray] = {}
        """What the quantiles of the latest row are taken of: values [K] by name."""

    def add_rollout(self, info: RolloutInfo) -> None:
        """An unroll was collected."""
        self._episodes.add(info.episodes)
        self.rooms.add(info)
        self._counts["env_faults"] += len(info.faults)
        if info.env_steps:
            times = {"env_ms_per_step": info.env_s, "inference_ms_per_step": info.inference_s}
            self._flow_averages.add({name: 1000 * seconds / info.env_steps for name, seconds in times.items()})

    def add_shard(self, status: ShardStatus) -> None:
        """A replay shard told its fill."""
        self._flow_averages.add({"queue_fill": status.columns / status.capacity})

    def add_update(self, info: UpdateInfo) -> None:
        """An update was done. The metrics of a skipped one are not finite and stay out of the averages."""
        self._env_steps = info.env_steps
        self._learner_updates = info.updates
        self._samples.add(info.histograms)
        self._rate.add(Commit(self._clock(), info.env_steps))
        if info.skipped:
            self._counts["updates_skipped"] += 1
            return
        self._update_averages.add(info.metrics)
        if POLICY_LAG in info.metrics:
            self._lag_sum += info.metrics[POLICY_LAG]
            self._lag_count += 1

    def add_failures(self, **counts: int) -> None:
        """So many more `unrolls_lost` on their way, `columns_dropped` as stale or surplus, `actors_restarted`, and
        `env_steps_lost` between a replay shard and the learner's state."""
        for name, more in counts.items():
            self._counts[name] += more

    def fall_back(self, *, env_steps: int, updates: int) -> None:
        """The learner began anew from an earlier state."""
        self._env_steps, self._learner_updates = env_steps, updates

    def add_evaluation(self, evaluation: Evaluation) -> None:
        """An evaluation is finished: it is in the next row."""
        self._evaluations.add(evaluation)

    def add_failed_evaluation(self) -> None:
        """An evaluation came to nothing."""
        self._counts["evaluations_failed"] += 1

    def wall_s(self) -> float:
        """Seconds that the run has taken, in all its processes."""
        return self._earlier_wall_s + self._clock() - self._started_s

    def row(self) -> dict[str, float]:
        """One line of metrics.jsonl; learner metrics, queue fill and step times are means since the row before.

        A value that does not exist yet, or of which nothing came since the row before, is NaN.
        """
        self.histograms = self._samples.take()
        own = {
            **self._totals(),
            "env_steps_per_s_recent": self._rate.recent(self._clock()),
            **self._episodes.take(),
            **self.rooms.take(),
            **self._counts,
            **self._flow_averages.take(),
            **self._evaluations.take(),
        }
        learned = quantiles(self.histograms) | self._update_averages.take()
        assert not own.keys() & learned.keys(), f"the learner's metrics reuse {own.keys() & learned.keys()}"
        return own | learned

    def summary(self, status: str) -> dict[str, Any]:
        """The content of summary.json; NaN where a value does not exist yet."""
        kept = ("unrolls_lost", "env_steps_lost", "actors_restarted", "updates_skipped")
        return {
            **self._totals(),
            "episodes": self._episodes.count,
            "episode_return_mean": self._episodes.return_mean(),
            POLICY_LAG: mean_of(self._lag_sum, self._lag_count),
            **self._evaluations.summary(),
            **{name: self._counts[name] for name in kept},
            "status": status,
        }

    def _totals(self) -> dict[str, float]:
        return {
            "env_steps": self._env_steps,
            "env_frames": self._env_steps * self._frame_skip,
            "learner_updates": self._learner_updates,
            "wall_s": self.wall_s(),
            "env_steps_per_s": self._rate.steady(),
        }

    def state_dict(self) -> dict[str, Any]:
        """Plain JSON values; the averages since the last row are not part of it."""
        return {
            "wall_s": self.wall_s(),
            "env_steps": self._env_steps,
            "learner_updates": self._learner_updates,
            "counts": dict(self._counts),
            "policy_lag": [self._lag_sum, self._lag_count],
            "episodes": self._episodes.state_dict(),
            "rooms": self.rooms.state_dict(),
            "rate": self._rate.state_dict(),
            "evaluations": self._evaluations.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Carry on where a checkpoint was; the wall time of this process counts from now."""
        self._started_s = self._clock()
        self._earlier_wall_s = state["wall_s"]
        self._env_steps, self._learner_updates = state["env_steps"], state["learner_updates"]
        self._counts = dict(state["counts"])
        self._lag_sum, self._lag_count = state["policy_lag"]
        self._episodes.load_state_dict(state["episodes"])
        self.rooms.load_state_dict(state["rooms"], env_steps=self._env_steps)
        self._rate.load_state_dict(state["rate"])
        self._evaluations.load_state_dict(state["evaluations"])
