"""Evaluations of real CartPole policies beside a run: when they are due, what is kept, and what they survive."""

import json
import os
import signal
import threading
import time

import psutil
import pytest
import ray

from rl_platform.runtime.checkpoint import checkpoints, load_checkpoint
from rl_platform.runtime.evaluation import evaluate_run
from rl_platform.runtime.evaluation_schedule import EvaluationSchedule
from rl_platform.runtime.evaluators import ThreadEvaluator
from rl_platform.runtime.ray_evaluator import RayEvaluator
from tests.runtime.evaluated import (
    ENDLESS,
    Learner,
    Record,
    SetClock,
    config,
    finish,
    folder,
    in_place,
    train_to,
    wait_until,
    written,
)


@pytest.fixture(scope="module")
def local_ray():
    ray.init(address="local", num_cpus=1, include_dashboard=False, object_store_memory=80 * 2**20, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(params=["in place", "thread", "ray"])
def evaluator(request):
    """The evaluators of the three wirings, as functions of the config."""
    if request.param == "ray":
        request.getfixturevalue("local_ray")
        return lambda settings: RayEvaluator(settings, {})
    return {"in place": in_place, "thread": ThreadEvaluator}[request.param]


@pytest.mark.parametrize(
    ("start", "turns", "asked"),
    [
        (0, [0, 40, 99, 100, 130, 199, 200, 450, 460, 500], [100, 200, 450, 500]),
        (1030, [1030, 1100, 1129, 1130, 1131, 1400], [1130, 1400]),
    ],
)
def test_an_evaluation_is_due_at_every_multiple_from_the_start(tmp_path, start, turns, asked):
    settings = config("--run.eval.episodes=1")
    learner, record = Learner(settings, bias=9.0), Record()
    evaluations = EvaluationSchedule(settings, tmp_path, record, in_place(settings), start_env_steps=start)
    for env_steps in turns:
        train_to(evaluations, learner, env_steps)
    assert learner.asked_at == asked == [evaluation.env_steps for evaluation in record.evaluations]
    assert sorted(int(path.stem) for path in (tmp_path / "eval").iterdir()) == asked


def test_null_turns_it_off(tmp_path):
    settings = config("--run.eval=null")
    learner = Learner(settings)
    evaluations = EvaluationSchedule(settings, tmp_path, Record(), in_place(settings))
    train_to(evaluations, learner, 10**12)
    evaluations.close()
    assert learner.asked_at == [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("greedy", [False, True])
def test_the_numbers_are_those_of_rl_platform_eval(tmp_path, evaluator, greedy):
    settings = config(f"--run.eval.greedy={str(greedy).lower()}", "--run.eval.episodes=25")
    evaluations = EvaluationSchedule(settings, folder(tmp_path, settings), record := Record(), evaluator(settings))
    train_to(evaluations, Learner(settings), 100)
    evaluations.close()
    report = written(tmp_path, 100)
    by_hand = evaluate_run(tmp_path / "best" / "100", episodes=25, greedy=greedy, video=False, seed=report["seed"])
    assert report["returns"] == [episode.episode_return for episode in by_hand.episodes]
    assert len(set(report["returns"])) > 1
    assert record.evaluations == [(100, 25, by_hand.mean, by_hand.standard_error, by_hand.mean, 100)]
    assert json.loads((tmp_path / "eval" / f"100-{'greedy' if greedy else 'sampled'}.json").read_text()) == report


def test_evaluations_of_a_run_play_different_games(tmp_path):
    settings = config()
    evaluations, learner = EvaluationSchedule(settings, tmp_path, Record(), in_place(settings)), Learner(settings)
    for env_steps in (100, 200):
        train_to(evaluations, learner, env_steps)
    first, second = written(tmp_path, 100), written(tmp_path, 200)
    assert first["seed"] != second["seed"]
    assert first["returns"] != second["returns"]


def test_the_best_state_is_kept(tmp_path, evaluator):
    settings = config()
    evaluations = EvaluationSchedule(settings, folder(tmp_path, settings), record := Record(), evaluator(settings))
    learner = Learner(settings)
    kept = []
    for env_steps, learner.bias in ((100, 1.0), (200, 9.0), (300, 0.0), (400, 9.0)):
        train_to(evaluations, learner, env_steps)
        kept += [path.name for path in checkpoints(tmp_path / "best")]
    evaluations.close()
    assert kept == ["100", "100", "300", "300"]
    assert [evaluation.best_env_steps for evaluation in record.evaluations] == [100, 100, 300, 300]
    best = load_checkpoint(tmp_path / "best" / "300")
    assert best["model"]["policy.bias"].tolist() == [0.0, 0.0]
    assert (best["run"], best["evaluation"]) == ({"env_steps": 300}, written(tmp_path, 300))
    assert record.evaluations[3].best_return_mean == record.evaluations[2].return_mean == best["evaluation"]["mean"]


def test_the_best_so_far_outlives_the_process(tmp_path):
    settings = config()
    train_to(EvaluationSchedule(settings, tmp_path, before := Record(), in_place(settings)), Learner(settings), 300)
    resumed = EvaluationSchedule(settings, tmp_path, record := Record(), in_place(settings), start_env_steps=250)
    train_to(resumed, Learner(settings, bias=9.0), 350)
    assert record.evaluations[0][-2:] == before.evaluations[0][-2:] == (before.evaluations[0].return_mean, 300)
    assert [path.name for path in checkpoints(tmp_path / "best")] == ["300"]


@pytest.mark.parametrize("damaged", [False, True])
def test_what_is_another_runs_or_damaged_counts_for_nothing(tmp_path, damaged):
    settings = config()
    train_to(EvaluationSchedule(settings, tmp_path, Record(), in_place(settings)), Learner(settings), 300)
    if damaged:
        (tmp_path / "best" / "300" / "model.safetensors").write_bytes(b"")
    start = 50 if damaged else 0
    anew = EvaluationSchedule(settings, tmp_path, record := Record(), in_place(settings), start_env_steps=start)
    train_to(anew, Learner(settings, bias=9.0), 150)
    assert record.evaluations[0].best_env_steps == 150
    assert [path.name for path in checkpoints(tmp_path / "best")] == ["150"]


def test_games_that_do_not_end_are_given_up_and_the_next_evaluation_comes_when_due(tmp_path):
    settings, clock = config(*ENDLESS, "--run.eval.timeout_s=60"), SetClock()
    evaluator = ThreadEvaluator(settings)
    evaluations = EvaluationSchedule(settings, tmp_path, record := Record(), evaluator, clock=clock)
    learner = Learner(settings)
    for learner.env_steps, clock.now_s in ((100, 0.0), (150, 59.0), (160, 61.0), (199, 62.0), (200, 63.0)):
        evaluations.tick(learner.env_steps, learner.ask)
    assert (learner.asked_at, record.failed, record.evaluations) == ([100, 200], 1, [])
    evaluations.close(wait_s=0.0)
    assert_ended("evaluation")
    assert list(tmp_path.iterdir()) == []


def assert_ended(thread_name: str) -> None:
    for thread in threading.enumerate():
        if thread.name == thread_name:
            thread.join(30)
            assert not thread.is_alive()


def test_a_learner_that_does_not_answer_is_asked_again_when_the_next_is_due(tmp_path):
    settings, clock, requests = config(), SetClock(), []
    evaluations = EvaluationSchedule(settings, tmp_path, record := Record(), in_place(settings), clock=clock)
    for env_steps, clock.now_s in ((100, 0.0), (150, 59.0), (160, 61.0), (200, 62.0)):
        evaluations.tick(env_steps, requests.append)
    assert (len(requests), record.failed) == (2, 1)
    learner = Learner(settings)
    learner.env_steps = 200
    for answer in requests:  # both come in the end
        answer(learner.state())
    evaluations.tick(201, requests.append)
    assert [evaluation.env_steps for evaluation in record.evaluations] == [200]


def test_a_state_that_comes_after_the_end_is_not_evaluated(tmp_path):
    settings, requests = config(), []
    evaluations = EvaluationSchedule(settings, tmp_path, record := Record(), in_place(settings))
    evaluations.tick(100, requests.append)
    evaluations.close()
    requests[0](Learner(settings).state())
    assert (record.evaluations, record.failed, list(tmp_path.iterdir())) == ([], 0, [])


def test_games_that_cannot_be_played_are_counted_and_the_run_goes_on(tmp_path, evaluator, caplog):
    settings = config()
    evaluations = EvaluationSchedule(settings, tmp_path, record := Record(), evaluator(settings))
    other = Learner(config("--model.encoder.hidden=[16]"))
    train_to(evaluations, other, 100)
    assert (record.failed, record.evaluations) == (1, [])
    message = caplog.messages[-1]
    assert "the checkpoint does not fit its run's config.yaml" in message and "\n" not in message
    train_to(evaluations, Learner(settings), 200)
    evaluations.close()
    assert [evaluation.env_steps for evaluation in record.evaluations] == [200]


def test_results_that_cannot_be_written_are_spoken_of_and_the_run_goes_on(tmp_path, caplog):
    settings = config()
    (tmp_path / "eval").write_text("a file where the folder should be")
    evaluations = EvaluationSchedule(settings, tmp_path, record := Record(), in_place(settings))
    train_to(evaluations, Learner(settings), 100)
    evaluations.close()
    assert len(record.evaluations) == 1
    assert "the evaluation at 100 env steps was not written" in caplog.messages[-1]


@pytest.mark.parametrize("evaluator", ["thread", "ray"], indirect=True)
def test_the_end_of_a_run_leaves_games_that_do_not_end(tmp_path, evaluator):
    settings = config(*ENDLESS)
    evaluations = EvaluationSchedule(settings, tmp_path, record := Record(), evaluator(settings))
    learner = Learner(settings)
    learner.env_steps = 100
    evaluations.tick(100, learner.ask)
    began = time.monotonic()
    evaluations.close(wait_s=0.2)
    assert time.monotonic() - began < 10
    assert (record.evaluations, record.failed) == ([], 0)
    assert_ended("evaluation")
    wait_until(lambda: not evaluator_processes())


def test_the_end_of_a_run_takes_in_what_is_finished_meanwhile(tmp_path):
    settings = config()
    evaluations = EvaluationSchedule(settings, tmp_path, record := Record(), ThreadEvaluator(settings))
    learner = Learner(settings)
    learner.env_steps = 100
    evaluations.tick(100, learner.ask)
    evaluations.close(wait_s=60.0)
    assert [evaluation.env_steps for evaluation in record.evaluations] == [100]
    assert written(tmp_path, 100)["mean"] == record.evaluations[0].return_mean
    assert [path.name for path in checkpoints(tmp_path / "best")] == ["100"]


def evaluator_processes() -> list[psutil.Process]:
    """Of this process's Ray."""
    return [child for child in psutil.Process().children(recursive=True) if "ray::EvaluationActor" in command(child)]


def command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


def test_an_actor_that_dies_between_evaluations_is_replaced(tmp_path, local_ray, caplog):
    settings = config()
    evaluations = EvaluationSchedule(settings, tmp_path, record := Record(), RayEvaluator(settings, {}))
    learner = Learner(settings)
    train_to(evaluations, learner, 100)
    (first,) = evaluator_processes()
    os.kill(first.pid, signal.SIGKILL)
    first.wait(30)
    train_to(evaluations, learner, 200)
    assert record.failed == 1
    assert "an evaluation failed, and is repeated when the next is due: at 200 env steps: it died" in caplog.text
    train_to(evaluations, learner, 300)
    assert [evaluation.env_steps for evaluation in record.evaluations] == [100, 300]
    (second,) = evaluator_processes()
    evaluations.close()
    second.wait(30)
    assert second.pid != first.pid


@pytest.mark.parametrize("how", ["dies", "hangs"])
def test_an_actor_lost_during_its_games_costs_that_evaluation_alone(tmp_path, local_ray, how):
    settings, clock = config(*ENDLESS, "--run.eval.timeout_s=60"), SetClock()
    evaluations = EvaluationSchedule(settings, tmp_path, record := Record(), RayEvaluator(settings, {}), clock=clock)
    learner = Learner(settings)
    learner.env_steps = 100
    evaluations.tick(100, learner.ask)
    wait_until(lambda: any("EvaluationActor.play" in command(process) for process in evaluator_processes()))
    (actor,) = evaluator_processes()
    if how == "dies":
        actor.kill()
    else:
        actor.suspend()
        clock.now_s = 61.0
    finish(evaluations, learner)
    assert (record.failed, record.evaluations) == (1, [])
    actor.wait(30)
    evaluations.close()
