"""The command line as a user meets it: one line for every mistake, status 2, nothing started and nothing written."""

import signal
import subprocess
import sys
from contextlib import suppress

import pytest
import torch

from rl_platform.cli import _loading, main
from tests.refusals import assert_refused

CARTPOLE = ["train", "classic/cartpole_impala", "--logging.progress=off"]


def run(*arguments: str, cwd=None) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "rl_platform.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=cwd)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "atari/pong_impala", "--actors.cuont=2"], ["actors.cuont", "did you mean 'count'"]),
        (["train", "atari/pong_impala", "--actors.count", "0"], ["actors.count", "0"]),
        (["train", "atari/pong_impala", "--actors.count", "two"], ["actors.count", "two"]),
        (["train", "atari/pong_impala", "--learner.discount", "nan"], ["learner.discount", "nan"]),
        (["train", "atari/pong_impala", "--env.id", "pongg"], ["pongg", "'pong'"]),
        (["train", "atari/pong_imapla"], ["atari/pong_imapla"]),
        (["train", "atari/pong_impala", "--resme"], ["--resme"]),
        (["train"], ["CONFIG"]),
        (["trian", "atari/pong_impala"], ["trian"]),
        (["eval", "nowhere"], ["nowhere", "neither a run's folder nor a checkpoint"]),
        (["eval", "nowhere", "--episodes", "0"], ["--episodes", "at least 1"]),
        (["eval", "nowhere", "--run.seed", "3"], ["--run.seed", "belongs to train and config"]),
        (["stop", "nowhere"], ["nowhere is not a run's folder"]),
        (["config"], ["CONFIG", "--explain"]),
        ([*CARTPOLE, "--env.id=Blackjack-v1"], ["env.id Blackjack-v1", "observation space"]),
        ([*CARTPOLE, "--env.kwargs.colour=1"], ["env.id CartPole-v1", "colour"]),
        ([*CARTPOLE, "--env.id=LunarLander-v3"], ["env.id LunarLander-v3", "Box2D"]),
        ([*CARTPOLE, "--env.id=CartPole-v1", "--model.encoder.kind=nature_cnn"], ["model.encoder.kind", "mlp"]),
        (
            ["train", "minatar/breakout_impala", "--model.encoder.kernel=11"],
            ["1 convolutions of 11 × 11 take 10 off each side", "model.encoder.channels"],
        ),
        ([*CARTPOLE, "--run.dir=/dev/null/run"], ["run.dir /dev/null/run", "Not a directory"]),
        ([*CARTPOLE, "--run.dir=/dev/null"], ["run.dir /dev/null", "File exists"]),
        ([*CARTPOLE, "--resume"], ["--resume needs the run's folder", "--run.dir"]),
        (["stop", "/dev/null/run"], ["/dev/null/run is not a run's folder"]),
        (["eval", "/dev/null/run"], ["neither a run's folder nor a checkpoint"]),
        (["eval", "nowhere", "--seed", "-1"], ["--seed", "from 0"]),
    ],
)
def test_a_mistake_is_answered_with_one_line_and_status_2(capsys, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert_refused(capsys, arguments, words)
    assert list(tmp_path.iterdir()) == []


def test_a_config_that_names_code_runs_none_of_it(tmp_path):
    (tmp_path / "evil.yaml").write_text('run: !!python/object/apply:os.system ["touch harmed"]\n')
    result = run("train", "evil.yaml", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "evil.yaml" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["evil.yaml"]


def test_overrides_may_stand_anywhere(capsys):
    assert main(["config", "--run.seed", "77", "atari/pong_impala", "--actors.count=3"]) == 0
    shown = capsys.readouterr().out
    assert "seed: 77" in shown
    assert "count: 3" in shown


def test_explain_lists_keys_with_unit_and_range(capsys):
    assert main(["config", "--explain"]) == 0
    shown = capsys.readouterr().out
    for key in ("run.total_env_steps", "learner.discount", "actors.max_policy_lag", "env.sticky_actions"):
        assert key in shown


def test_inline_training_never_imports_ray(tmp_path):
    program = (
        "import sys; from rl_platform.cli import main; "
        f"main(['train', 'classic/cartpole_impala', '--run.dir', {str(tmp_path / 'run')!r}, "
        "'--run.total_env_steps=2000', '--logging.progress=off']); sys.exit('ray' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60, capture_output=True).returncode == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("key", ["learner.device", "actors.device"])
def test_a_missing_gpu_is_noticed_before_anything_is_written(capsys, tmp_path, key):
    directory = tmp_path / "run"
    assert main([*CARTPOLE, f"--run.dir={directory}", f"--{key}=cuda"]) == 2
    assert capsys.readouterr().err == (
        f"rl-platform: {key} cuda: PyTorch finds no CUDA device here; set {key} to cpu\n"
    )
    assert not directory.exists()


def test_a_reader_that_goes_away_is_no_error():
    """As in `rl-platform config --explain | head -1`."""
    command = [sys.executable, "-m", "rl_platform.cli", "config", "--explain"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) == 0


def test_ctrl_c_while_libraries_load_cannot_be_swallowed_by_one():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), _loading(), suppress(BaseException):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_does_not_wait_for_the_libraries():
    reached = []
    with pytest.raises(KeyboardInterrupt), _loading():
        reached += [signal.raise_signal(signal.SIGINT) or press for press in (1, 2)]
    assert reached == []
