"""Literal reports in, literal rows and summaries out."""

import json
import math

import pytest

from rl_platform.core.types import Episode, Origin, RolloutInfo, ShardStatus, UpdateInfo
from rl_platform.observability.evaluations import Evaluation
from rl_platform.observability.metrics import RunStatistics


class SetClock:
    """A clock that tells the time it was set to."""

    def __init__(self, now_s: float = 0.0):
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


def rollout(*episodes: Episode, env_steps: int = 640, faults: tuple[str, ...] = ()) -> RolloutInfo:
    return RolloutInfo(Origin(0, 0, 0, 0), env_steps, episodes, faults, env_s=0.32, inference_s=0.16)


def update(version: int, env_steps: int, *, skipped: bool = False, **metrics: float) -> UpdateInfo:
    return UpdateInfo(
        version, version, env_steps, skipped, {name.replace("__", "/"): value for name, value in metrics.items()}
    )


def test_a_literal_row():
    clock = SetClock(100.0)
    statistics = RunStatistics(frame_skip=4, clock=clock)
    statistics.add_rollout(rollout(Episode(-21.0, 800, 0), Episode(-19.0, 1000, 0), faults=("env 3 raised",)))
    statistics.add_shard(ShardStatus(ready=1, columns=32, capacity=128, batch_columns=32))
    statistics.add_shard(ShardStatus(ready=2, columns=64, capacity=128, batch_columns=32))
    clock.now_s = 104.0
    statistics.add_update(update(1, 640, loss__policy=2.0, policy_lag_mean=1.0))
    clock.now_s = 106.0
    statistics.add_update(update(2, 1280, loss__policy=4.0, policy_lag_mean=2.0))
    statistics.add_failures(unrolls_lost=2, columns_dropped=3, actors_restarted=1)
    clock.now_s = 108.0
    row = statistics.row()
    assert math.isnan(row.pop("env_steps_per_s"))
    assert row == {
        "env_steps": 1280,
        "env_frames": 5120,
        "learner_updates": 2,
        "wall_s": 8.0,
        "env_steps_per_s_recent": 640 / 4.0,
        "episodes": 2,
        "episode_return_mean": -20.0,
        "episode_return_min": -21.0,
        "episode_return_max": -19.0,
        "episode_return_latest": -20.0,
        "episode_length_mean": 900.0,
        "unrolls_lost": 2,
        "columns_dropped": 3,
        "actors_restarted": 1,
        "updates_skipped": 0,
        "env_faults": 1,
        "evaluations_failed": 0,
        "env_steps_lost": 0,
        "env_ms_per_step": 0.5,
        "inference_ms_per_step": 0.25,
        "queue_fill": 0.375,
        "loss/policy": 3.0,
        "policy_lag_mean": 1.5,
    }


def test_averages_cover_the_updates_since_the_row_before():
    statistics = RunStatistics(frame_skip=1, clock=SetClock())
    statistics.add_update(update(1, 10, loss__value=1.0))
    assert statistics.row()["loss/value"] == 1.0
    statistics.add_update(update(2, 20, loss__value=5.0))
    statistics.add_update(update(3, 30, loss__value=7.0))
    assert statistics.row()["loss/value"] == 6.0
    assert math.isnan(statistics.row()["loss/value"])


def test_a_skipped_update_is_counted_and_left_out_of_the_averages():
    statistics = RunStatistics(frame_skip=1, clock=SetClock())
    statistics.add_update(update(1, 10, loss__value=2.0))
    statistics.add_update(update(2, 20, skipped=True, loss__value=math.nan))
    row = statistics.row()
    assert (row["loss/value"], row["updates_skipped"], row["learner_updates"], row["env_steps"]) == (2.0, 1, 2, 20)


def test_returns_are_those_of_the_last_100_episodes():
    statistics = RunStatistics(frame_skip=1, clock=SetClock())
    statistics.add_rollout(rollout(*(Episode(1000.0, 1, 0) for _ in range(50))))
    statistics.add_rollout(rollout(*(Episode(float(k), 1, 0) for k in range(100))))
    row = statistics.row()
    assert row["episodes"] == 150
    assert (row["episode_return_mean"], row["episode_return_min"], row["episode_return_max"]) == (49.5, 0.0, 99.0)


def test_latest_return_is_of_the_episodes_since_the_row_before():
    statistics = RunStatistics(frame_skip=1, clock=SetClock())
    statistics.add_rollout(rollout(Episode(1.0, 1, 0)))
    statistics.row()
    statistics.add_rollout(rollout(Episode(4.0, 1, 0), Episode(6.0, 1, 0)))
    assert statistics.row()["episode_return_latest"] == 5.0
    row = statistics.row()
    assert math.isnan(row["episode_return_latest"])
    assert row["episode_return_mean"] == pytest.approx(11 / 3)


def test_an_evaluation_is_in_the_row_after_it_and_only_there():
    statistics = RunStatistics(frame_skip=1, clock=SetClock())
    assert not [name for name in statistics.row() if name.startswith("eval/")]
    statistics.add_evaluation(Evaluation(100, 10, 3.0, 0.5, best_return_mean=3.0, best_env_steps=100))
    statistics.add_evaluation(Evaluation(200, 20, 2.0, 0.25, best_return_mean=3.0, best_env_steps=100))
    assert {name: value for name, value in statistics.row().items() if name.startswith("eval/")} == {
        "eval/return_mean": 2.0,
        "eval/return_standard_error": 0.25,
        "eval/episodes": 20,
        "eval/env_steps": 200,
    }
    later = [value for name, value in statistics.row().items() if name.startswith("eval/")]
    assert len(later) == 4
    assert all(map(math.isnan, later))


def test_failed_evaluations_are_counted():
    statistics = RunStatistics(frame_skip=1, clock=SetClock())
    statistics.add_failed_evaluation()
    statistics.add_failed_evaluation()
    assert statistics.row()["evaluations_failed"] == 2


def test_several_tasks_have_means_of_their_own():
    statistics = RunStatistics(frame_skip=1, task_names=["coinrun", "maze"], clock=SetClock())
    statistics.add_rollout(rollout(Episode(10.0, 1, 0), Episode(0.0, 1, 1), Episode(4.0, 1, 0)))
    row = statistics.row()
    assert row["episode_return_mean/coinrun"] == 7.0
    assert row["episode_return_mean/maze"] == 0.0


def test_the_summary_has_the_keys_of_the_contract():
    clock = SetClock()
    statistics = RunStatistics(frame_skip=4, clock=clock)
    for version in range(1, 13):
        clock.now_s = 2.0 * version
        statistics.add_update(update(version, 100 * version, policy_lag_mean=float(version % 2)))
    statistics.add_rollout(rollout(Episode(3.0, 7, 0)))
    statistics.add_failures(unrolls_lost=1, actors_restarted=2)
    statistics.add_evaluation(Evaluation(1000, 10, 4.0, 0.5, best_return_mean=6.0, best_env_steps=500))
    clock.now_s = 30.0
    statistics.row()  # takes nothing from the summary
    assert statistics.summary("done") == {
        "env_steps": 1200,
        "env_frames": 4800,
        "learner_updates": 12,
        "episodes": 1,
        "wall_s": 30.0,
        "env_steps_per_s": 50.0,
        "episode_return_mean": 3.0,
        "policy_lag_mean": 0.5,
        "eval_return_mean": 4.0,
        "best_eval_return_mean": 6.0,
        "best_eval_env_steps": 500,
        "unrolls_lost": 1,
        "env_steps_lost": 0,
        "actors_restarted": 2,
        "updates_skipped": 0,
        "status": "done",
    }


def test_state_survives_json_and_another_clock():
    clock = SetClock(50.0)
    before = RunStatistics(frame_skip=4, task_names=["a", "b"], clock=clock)
    for version in range(1, 21):
        clock.now_s += 1.0
        before.add_update(update(version, 10 * version, skipped=version == 3, policy_lag_mean=2.0))
        before.add_rollout(rollout(Episode(float(version), version, version % 2), faults=("raised",)))
    before.add_failures(unrolls_lost=4, columns_dropped=5, actors_restarted=6)
    before.add_evaluation(Evaluation(150, 1, 3.0, math.nan, best_return_mean=3.0, best_env_steps=150))
    before.add_failed_evaluation()
    state = json.loads(json.dumps(before.state_dict(), allow_nan=False))

    after_clock = SetClock(9000.0)
    after = RunStatistics(frame_skip=4, task_names=["a", "b"], clock=after_clock)
    after_clock.now_s = 9005.0
    after.load_state_dict(state)
    assert after.summary("running") == before.summary("running")
    assert after.state_dict() == before.state_dict()
    after_clock.now_s = 9007.0
    assert after.row()["wall_s"] == 22.0


def test_a_learner_metric_may_not_hide_one_of_the_run():
    statistics = RunStatistics(frame_skip=1, clock=SetClock())
    statistics.add_update(update(1, 10, episodes=3.0))
    with pytest.raises(AssertionError, match="episodes"):
        statistics.row()
