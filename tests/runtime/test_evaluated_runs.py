"""Inline runs with evaluations: training is untouched by them, and what they found is told."""

import json
import random
from pathlib import Path

import numpy as np
import torch

from rl_platform.runtime.checkpoint import checkpoints
from rl_platform.runtime.evaluation import evaluate_run
from rl_platform.runtime.evaluation_schedule import EvaluationSchedule
from rl_platform.runtime.evaluators import InPlaceEvaluator, ThreadEvaluator, local_evaluator, random_state_kept
from tests.runtime.evaluated import ENDLESS, Learner, Record, config, train_to, written
from tests.runtime.launched import INLINE, last_state, run


def test_in_place_the_end_of_the_run_ends_the_games(tmp_path):
    settings, looks = config(*ENDLESS), iter([False] * 50)
    evaluator = local_evaluator(settings, run_is_ending=lambda: next(looks, True))
    evaluations = EvaluationSchedule(settings, tmp_path, record := Record(), evaluator)
    train_to(evaluations, Learner(settings), 100)
    assert (record.evaluations, record.failed, list(tmp_path.iterdir())) == ([], 0, [])


def test_each_inline_wiring_has_its_evaluator():
    kinds = {
        pipeline: type(local_evaluator(config(f"--cluster.pipeline={pipeline}"), run_is_ending=lambda: False))
        for pipeline in ("serial", "overlapped")
    }
    assert kinds == {"serial": InPlaceEvaluator, "overlapped": ThreadEvaluator}


def trained(directory: Path, *overrides: str) -> tuple[dict, dict, list[float]]:
    """A serial run: what its rows say apart from times, its last weights, and the global generators' next numbers."""
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(7)
    _, status = run(directory, *INLINE, "--run.total_env_steps=2500", "--logging.every_s=3600", *overrides)
    assert status == 0
    rows = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    measured = {name: [row.get(name) for row in rows] for name in ("env_steps", "loss/policy", "episode_return_mean")}
    return measured, last_state(directory)["model"], [random.random(), np.random.random(), torch.rand(()).item()]


def test_training_in_turns_is_the_same_with_and_without_evaluations(tmp_path):
    with_them, alone = tmp_path / "with", tmp_path / "alone"
    measured, weights, random_numbers = trained(with_them, "--run.eval.every_env_steps=500", "--run.eval.episodes=5")
    measured_alone, weights_alone, numbers_alone = trained(alone, "--run.eval=null")
    assert len(list((with_them / "eval").iterdir())) >= 4
    assert not (alone / "eval").exists()
    assert (measured, random_numbers) == (measured_alone, numbers_alone)
    assert weights.keys() == weights_alone.keys()
    for name, array in weights.items():
        np.testing.assert_array_equal(array, weights_alone[name])


def test_the_same_run_has_the_same_evaluations(tmp_path):
    found = []
    for name in ("first", "second"):
        trained(tmp_path / name, "--run.eval.every_env_steps=700", "--run.eval.episodes=5")
        found.append({path.name: path.read_text() for path in (tmp_path / name / "eval").iterdir()})
    assert found[0] == found[1]
    assert len(found[0]) >= 3


def test_a_run_tells_its_evaluations_and_its_best_state_can_be_evaluated_again(tmp_path):
    overlapped = ["--cluster.mode=inline", "--cluster.pipeline=overlapped"]
    often = ["--run.eval.every_env_steps=1000", "--run.eval.episodes=5", "--logging.every_s=0.05"]
    summary, status = run(tmp_path, *overlapped, *often, "--run.total_env_steps=8000")
    assert status == 0
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    told = {row["eval/env_steps"]: row["eval/return_mean"] for row in rows if row.get("eval/env_steps")}
    assert len(told) >= 2
    assert told == {env_steps: written(tmp_path, env_steps)["mean"] for env_steps in told}
    (best,) = checkpoints(tmp_path / "best")
    found = written(tmp_path, int(best.name))
    assert (summary["best_eval_env_steps"], summary["best_eval_return_mean"]) == (int(best.name), found["mean"])
    again = evaluate_run(best, episodes=5, greedy=False, video=False, seed=found["seed"])
    assert again.mean == found["mean"] >= max(told.values())


def test_the_global_generators_are_given_back():
    draws = [random.random, np.random.random, lambda: torch.rand(()).item()]
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    with random_state_kept():
        inside = [draw() for draw in draws]
    assert [draw() for draw in draws] == inside
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])
