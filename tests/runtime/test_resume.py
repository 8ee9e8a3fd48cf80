"""Launches in a folder that already holds something: what is refused, what goes on, what begins anew."""

import json
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from configs.loader import load_config
from rl_platform.cli import main
from rl_platform.runtime.changes import changes
from rl_platform.runtime.checkpoint import checkpoints
from rl_platform.runtime.errors import InputError
from rl_platform.runtime.launch import open_launch
from rl_platform.runtime.stop import StopRequest
from tests.runtime.launched import INLINE, last_row, last_state, run, start


def test_resume_goes_on_where_the_run_ended(tmp_path):
    first, _ = run(tmp_path, *INLINE, "--run.total_env_steps=2000")
    second, status = run(tmp_path, *INLINE, "--run.total_env_steps=4000", resume=True)
    assert status == 0
    assert second["env_steps"] >= 4000 > first["env_steps"]
    assert second["learner_updates"] > first["learner_updates"]
    assert second["wall_s"] > first["wall_s"]
    steps = [json.loads(line)["env_steps"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)
    assert f"resuming from {tmp_path / 'checkpoints' / str(first['env_steps'])}" in (tmp_path / "log.txt").read_text()


def test_bonuses_go_on_from_their_moments_and_networks(tmp_path):
    bonuses = ("--learner.rnd={init_updates: 2}",)
    run(tmp_path, *INLINE, *bonuses, "--run.total_env_steps=1600")
    before = last_state(tmp_path)["rnd"]
    run(tmp_path, *INLINE, *bonuses, "--run.total_env_steps=3200", resume=True)
    after = last_state(tmp_path)["rnd"]
    for counted in ("moments", "filter"):
        assert after[counted]["count"] > 1.9 * before[counted]["count"]
    for name, array in before["target"].items():
        np.testing.assert_array_equal(after["target"][name], array)


def test_a_folder_with_a_run_is_not_overwritten(tmp_path):
    run(tmp_path, *INLINE, "--run.total_env_steps=800")
    with pytest.raises(InputError, match=r"already holds a run: continue it with --resume"):
        run(tmp_path, *INLINE)


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_second_process_is_refused_and_the_first_goes_on_unharmed(tmp_path):
    process = start(tmp_path, *INLINE)
    config, rows = (tmp_path / "config.yaml").read_bytes(), (tmp_path / "metrics.jsonl").read_text().splitlines()
    second = subprocess.run([*process.args, "--resume", "--run.seed=7"], capture_output=True, text=True, timeout=60)
    assert second.returncode == 2
    assert "in use by a process that trains there" in second.stderr
    reached = last_row(tmp_path)["env_steps"]
    while last_row(tmp_path)["env_steps"] == reached:
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert (tmp_path / "config.yaml").read_bytes() == config
    assert (tmp_path / "metrics.jsonl").read_text().splitlines()[: len(rows)] == rows
    assert last_row(tmp_path)["env_steps"] == last_state(tmp_path)["env_steps"] > reached


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("--env.id=Acrobot-v1", ["env.id is 'Acrobot-v1'", "was trained with 'CartPole-v1'"]),
        ("--model.encoder.hidden=[32]", ["model.encoder.hidden is [32]", "was trained with [64, 64]"]),
        ("--model.heads=mlp", ["model.heads is 'mlp'", "was trained with 'linear'"]),
        ("--learner.rnd={outputs: 64}", ["learner.rnd is", "was trained with null"]),
        ("--learner.optimizer.kind=rmsprop", ["learner.optimizer.kind is 'rmsprop'", "was trained with 'adam'"]),
    ],
)
def test_a_run_cannot_go_on_as_another_and_is_left_as_it_was(tmp_path, override, words):
    run(tmp_path, *INLINE, "--run.total_env_steps=800")
    before = contents(tmp_path)
    with pytest.raises(InputError) as refused:
        run(tmp_path, *INLINE, override, resume=True)
    assert all(word in str(refused.value) for word in words), refused.value
    assert contents(tmp_path) == before


IMPACT = "--learner.objective=impact"
RMSPROP = "--learner.optimizer={kind: rmsprop, learning_rate: 1e-3}"


@pytest.mark.parametrize(
    ("launched", "changed", "words"),
    [
        ([], [IMPACT], ["learner.objective is 'impact'", "was trained with 'vtrace'"]),
        ([IMPACT], [IMPACT, "--learner.kl={}"], ["learner.kl is {", "was trained with null"]),
        ([RMSPROP], [RMSPROP, "--learner.optimizer.momentum=0.5"], ["learner.optimizer.momentum is 0.5", "with 0.0"]),
    ],
)
def test_what_checkpoints_hold_no_state_of_is_refused_and_only_its_end_is_a_change(tmp_path, launched, changed, words):
    run(tmp_path / "without", *INLINE, *launched, "--run.total_env_steps=800")
    before = contents(tmp_path)
    with pytest.raises(InputError) as refused:
        run(tmp_path / "without", *INLINE, *changed, resume=True)
    assert all(word in str(refused.value) for word in words), refused.value
    assert contents(tmp_path) == before
    run(tmp_path / "with", *INLINE, *changed, "--run.total_env_steps=800")
    summary, status = run(tmp_path / "with", *INLINE, *launched, "--run.total_env_steps=1600", resume=True)
    assert (status, summary["env_steps"] >= 1600) == (0, True)


def test_changes_of_other_keys_are_told_and_the_folders_name_is_none():
    saved, config = (
        load_config("classic/cartpole_impala", overrides)
        for overrides in (["--run.dir=a"], ["--run.dir=b", "--learner.discount=0.9", "--run.max_seconds=null"])
    )
    assert changes(saved, config) == [
        "run.max_seconds is now null; it was 60.0",
        "learner.discount is now 0.9; it was 0.99",
    ]
    assert changes(saved, saved) == []


@pytest.mark.parametrize("override", ["--env.max_episode_steps=100", "--env.level_seed=3"])
def test_one_curve_never_joins_two_tasks_of_minigrid(override):
    """Rewards are relative to the limit there, and a level is a task."""
    saved, config = (load_config("minigrid/multiroom_n6_fixed_ppo", overrides) for overrides in ([], [override]))
    key, value = override.removeprefix("--").split("=")
    with pytest.raises(InputError, match=rf"^{key} is {value}, but .* two tasks; .* --run\.dir$"):
        changes(saved, config)


def test_the_limit_of_an_environment_whose_rewards_know_none_may_change():
    saved, config = (load_config("classic/cartpole_impala", each) for each in ([], ["--env.max_episode_steps=100"]))
    assert changes(saved, config) == ["env.max_episode_steps is now 100; it was null"]


def test_no_launch_repeats_the_incarnations_of_another_even_after_crashes(tmp_path):
    run(tmp_path, *INLINE, "--run.total_env_steps=800")
    config = load_config("classic/cartpole_impala")
    launches = [open_launch(config, tmp_path, resume=True) for _ in range(3)]  # each dies before its first checkpoint
    assert [launch.number for launch in launches] == [1, 2, 3]
    firsts = [launch.first_incarnation for launch in launches]
    assert min(later - earlier for earlier, later in zip([0, *firsts], firsts, strict=False)) >= 1_000_000
    (tmp_path / "launch").unlink()  # a folder put together from the checkpoints alone
    assert open_launch(config, tmp_path, resume=True).number == 1


def test_resuming_without_a_checkpoint_starts_anew_and_says_so(tmp_path):
    run(tmp_path / "a", *INLINE, "--run.total_env_steps=800")
    for checkpoint in checkpoints(tmp_path / "a" / "checkpoints"):
        (checkpoint / "manifest.json").unlink()
    _, status = run(tmp_path / "a", *INLINE, "--run.total_env_steps=800", resume=True)
    assert status == 0
    assert "holds no checkpoint to resume from: starting anew" in (tmp_path / "a" / "log.txt").read_text()
    run(tmp_path / "b", *INLINE, "--run.total_env_steps=800")
    left, right = (last_state(tmp_path / name)["model"] for name in "ab")
    assert all(left[name].tobytes() == right[name].tobytes() for name in right)


def test_resume_sets_damaged_checkpoints_aside_so_that_new_ones_are_the_newest(tmp_path):
    first, _ = run(tmp_path, *INLINE, "--run.total_env_steps=800", "--run.keep_checkpoints=1")
    good = tmp_path / "checkpoints" / str(first["env_steps"])
    (good.parent / "999999").mkdir()
    (good.parent / "999999" / "manifest.json").write_text("{")
    second, status = run(tmp_path, *INLINE, "--run.total_env_steps=1600", "--run.keep_checkpoints=1", resume=True)
    assert status == 0
    assert [path.name for path in checkpoints(good.parent)] == [str(second["env_steps"])]
    assert (good.parent / "damaged-999999").is_dir()


def test_a_launch_that_never_trained_leaves_the_folder_free(tmp_path):
    (tmp_path / "metrics.jsonl").touch()
    assert run(tmp_path, *INLINE, "--run.total_env_steps=800")[1] == 0


def test_resume_without_a_folder_is_refused(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "classic/cartpole_impala", "--resume"]) == 2
    assert "--resume needs the run's folder: name it with --run.dir" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_refused_before_anything_is_read_or_written(tmp_path):
    run(tmp_path, *INLINE, "--run.total_env_steps=800")
    before = contents(tmp_path)
    with StopRequest(tmp_path), pytest.raises(InputError, match="in use"):
        run(tmp_path, *INLINE, "--run.total_env_steps=1600", resume=True)
    assert contents(tmp_path) == before
