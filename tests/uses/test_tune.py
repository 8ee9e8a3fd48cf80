"""Searches with Ray Tune: a run as a trial, its restart, and `rl-platform tune`."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from configs.errors import ConfigError
from configs.loader import load_config
from rl_platform.observability.metrics_file import read_rows
from rl_platform.runtime.errors import InputError
from tests.project.tree import ROOT
from tests.refusals import assert_refused
from tune_experiments.trainable import RunTrial, settled_config

SEARCH = """
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from tune_experiments.search import Search

SEARCH = Search(
    question="How large a step?",
    config="classic/cartpole_impala",
    fixed={"run.max_seconds": None, "logging.tensorboard": False, "actors.unroll_length": 10},
    space={"learner.optimizer.learning_rate": tune.loguniform(1e-4, 1e-2), "learner.discount": 0.98},
    scheduler=lambda: ASHAScheduler(time_attr="env_steps", grace_period=6_000, max_t=24_000, reduction_factor=2),
    env_steps=24_000,
    report_every_env_steps=2_000,
    trials=4,
)
"""


def trial(results: Path, **hyper_parameters) -> RunTrial:
    """A trial in this process."""
    options = {"logging.tensorboard": False, "actors.unroll_length": 10, **hyper_parameters}
    settings = {"config": "classic/cartpole_impala", "report_every_env_steps": 1000, "results": str(results), "gpus": 0}
    return RunTrial(config=settings | options)


def test_a_trial_reports_in_steps_and_asks_for_one_bundle(tmp_path):
    running = trial(tmp_path)
    reports = [running.train() for _ in range(2)]
    assert [report["env_steps"] // 1000 for report in reports] == [1, 2]
    assert 8 <= reports[1]["episode_return_mean"] <= 500
    assert not reports[1]["done"]
    running.stop()
    assert RunTrial.default_resource_request(running.config).bundles == [{"CPU": 1}]
    overlapped = running.config | {"cluster.pipeline": "overlapped", "gpus": 0.5}
    assert RunTrial.default_resource_request(overlapped).bundles == [{"CPU": 2, "GPU": 0.5}]


def test_a_trial_ends_where_its_run_does(tmp_path):
    running = trial(tmp_path, **{"run.total_env_steps": 1500})
    assert [running.train()["done"] for _ in range(2)] == [False, True]
    running.stop()


def test_a_restored_trial_counts_on_exactly_under_its_own_hyper_parameters(tmp_path):
    """What a scheduler such as PBT changes must not come back with the checkpoint (ray-project/ray issue 62173)."""
    first = trial(tmp_path / "first", **{"learner.optimizer.learning_rate": 1e-3, "learner.terms.entropy": 0.01})
    before = [first.train() for _ in range(2)][-1]
    checkpoint = first.save(str(tmp_path / "saved"))
    first.stop()

    changed = {"learner.optimizer.learning_rate": 5e-4, "learner.terms.entropy": 0.03}
    second = trial(tmp_path / "second", **changed)
    second.train()  # its own past, which the checkpoint replaces
    second.restore(checkpoint)
    after = second.train()
    second.stop()
    assert after["training_iteration"] == before["training_iteration"] + 1
    assert before["env_steps"] + 1000 <= after["env_steps"] < before["env_steps"] + 2000
    assert after["learner_updates"] - before["learner_updates"] >= 5
    assert after["episodes"] > before["episodes"]
    last = read_rows(Path(after["run_dir"]) / "metrics.jsonl")[-1]
    assert last["env_steps"] == after["env_steps"]
    assert last["learning_rate"] == pytest.approx(5e-4)
    kept = load_config(f"{after['run_dir']}/config.yaml")
    assert kept.learner.terms.entropy.initial == 0.03


def test_a_trial_can_begin_with_the_checkpoint_of_another(tmp_path):
    first = trial(tmp_path / "first")
    before = first.train()
    checkpoint = first.save(str(tmp_path / "saved"))
    first.stop()
    second = trial(tmp_path / "second")
    second.restore(checkpoint)
    assert before["env_steps"] + 1000 <= second.train()["env_steps"] < before["env_steps"] + 2000
    second.stop()


def test_a_trial_that_breaks_says_so_in_its_folder(tmp_path):
    running = trial(tmp_path)
    folder = Path(running.train()["run_dir"])
    shutil.rmtree(folder / "checkpoints")
    (folder / "checkpoints").touch()  # where no checkpoint can be written
    with pytest.raises(OSError, match=r"checkpoint was not written; log\.txt says why"):
        running.train()
    running.stop()
    assert json.loads((folder / "summary.json").read_text())["status"] == "failed"


def test_a_process_is_used_for_another_trial(tmp_path):
    running = trial(tmp_path)
    assert running.train()["env_steps"] >= 1000
    assert running.reset(running.config | {"results": str(tmp_path / "other"), "learner.discount": 0.9})
    assert 1000 <= running.train()["env_steps"] < 2000
    running.stop()
    assert load_config(str(tmp_path / "other" / running.trial_id / "config.yaml")).learner.discount == 0.9


def test_what_a_trial_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="discuont"):
        settled_config({"config": "classic/cartpole_impala", "learner.discuont": 0.9})
    with pytest.raises(InputError, match=r"cluster\.mode"):
        settled_config({"config": "classic/cartpole_impala", "cluster.mode": "ray"})


def process_with(path: Path) -> psutil.Process | None:
    """The process below this one that holds `path` open."""
    for child in psutil.Process(os.getpid()).children(recursive=True):
        try:
            if any(file.path == str(path) for file in child.open_files()):
                return child
        except psutil.NoSuchProcess:
            continue
    return None


def kill_a_trial(results: Path, search: subprocess.Popen) -> Path:
    """Kill -9 the first trial that has a checkpoint with Tune; returns its run's folder."""
    while True:
        assert search.poll() is None, search.stdout.read()
        for kept in results.glob("tune/RunTrial_*/checkpoint_*/*/manifest.json"):
            trial_id = re.match(r"RunTrial_([^_]+_[^_]+)", kept.parents[2].name)[1]
            victim = process_with(results / trial_id / "lock")
            if victim is not None:
                victim.kill()
                return results / trial_id
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_four_trials_one_of_which_is_killed(tmp_path):
    """A killed trial goes on from its last checkpoint, and the search ends as if nothing had happened."""
    (tmp_path / "step_size.py").write_text(SEARCH)
    results = tmp_path / "results"
    command = [sys.executable, "-m", "rl_platform.cli", "tune", "step_size.py", "--results", str(results)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}  # tmp_path stands for a user's folder
    search = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)  # fmt: skip
    try:
        killed = kill_a_trial(results, search)
        output, _ = search.communicate(timeout=200)
    finally:
        search.send_signal(signal.SIGINT)  # no effect once it has ended
    assert search.returncode == 0, output
    runs = sorted(path.parent for path in results.glob("*/summary.json"))
    assert len(runs) == 4
    assert all(f"│ {run.name} " in output for run in runs)
    assert f"{killed.name}: failed; goes on from its last checkpoint" in output
    assert f"resuming from {killed / 'checkpoints'}" in (killed / "log.txt").read_text().replace("\n", "")
    steps = [row["env_steps"] for row in read_rows(killed / "metrics.jsonl")]
    assert steps == sorted(steps)
    furthest = max(json.loads((run / "summary.json").read_text())["env_steps"] for run in runs)
    assert furthest >= 24_000

    best, value = re.search(r"best: (\S+) with episode_return_mean (\S+); config: .*best\.yaml", output).groups()
    summary = json.loads((results / best / "summary.json").read_text())
    assert float(value) == pytest.approx(summary["episode_return_mean"], abs=0.051)
    found, used = load_config(str(results / "best.yaml")), load_config(str(results / best / "config.yaml"))
    assert found.learner == used.learner
    assert found.learner.discount == 0.98


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tune", "cartpole_ahsa"], ["cartpole_ahsa", "did you mean 'cartpole_asha'"]),
        (["tune", "nothing.py"], ["nothing.py: defines no search", "SEARCH"]),
        (["tune", "broken.py"], ["broken.py", "no_such_module"]),
        (["tune", "typo.py"], ["learner.discuont"]),
        (["tune", "cartpole_asha", "--trials", "0"], ["--trials", "at least 1"]),
        (["tune", "cartpole_asha", "--results", "broken.py"], ["--results", "broken.py", "File exists"]),
        (["tune", "cartpole_asha", "--run.seed", "3"], ["--run.seed", "belongs to train and config"]),
    ],
)
def test_a_mistake_is_answered_with_one_line(capsys, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    files = {"nothing.py": "", "broken.py": "import no_such_module", "typo.py": SEARCH.replace("discount", "discuont")}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert_refused(capsys, arguments, words)
    assert {path.name for path in tmp_path.iterdir()} == set(files)
