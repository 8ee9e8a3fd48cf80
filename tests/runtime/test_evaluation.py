"""`rl-platform eval` on a real game: whole games, their returns, a video that can be played."""

import json
import shutil

import av
import numpy as np
import pytest

from configs.loader import load_config
from rl_platform.cli import main
from rl_platform.runtime.evaluation import evaluate_run
from rl_platform.runtime.train import train
from tests.runtime.launched import INLINE, run

GAME_STEPS = 100
SHORT_PONG = [
    *INLINE, "--actors.envs_per_actor=2", "--actors.unroll_length=5", "--learner.batch_columns=2",
    "--model.encoder.embedding=16", "--run.total_env_steps=20", "--logging.progress=off", "--logging.tensorboard=false",
    f"--env.max_episode_frames={4 * GAME_STEPS}", "--env.noop_max=0",
]  # fmt: skip


@pytest.fixture(scope="module")
def pong(tmp_path_factory):
    directory = tmp_path_factory.mktemp("evaluation") / "run"
    _, status = train(load_config("atari/pong_impala", SHORT_PONG), directory)
    assert status == 0
    return directory


def pictures(path) -> list[np.ndarray]:
    with av.open(str(path)) as video:
        return [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]


def test_games_are_played_reported_and_shown(pong):
    report = evaluate_run(pong, episodes=3, greedy=False, video=True, seed=5)
    returns = [episode.episode_return for episode in report.episodes]
    assert len(returns) == 3
    assert all(-21 <= value <= 21 for value in returns)
    assert report.mean == pytest.approx(np.mean(returns))
    assert report.standard_error == pytest.approx(np.std(returns, ddof=1) / np.sqrt(3))
    assert report.checkpoint.parent == pong / "checkpoints"
    assert f"{report.mean:.2f} ± {report.standard_error:.2f}" in str(report)
    written = json.loads((pong / "eval" / f"{report.checkpoint.name}-sampled.json").read_text())
    assert (written["returns"], written["seed"], written["greedy"]) == (returns, 5, False)
    shown = pictures(report.video)
    assert report.video == pong / "eval" / f"{report.checkpoint.name}-sampled.mp4"
    assert len(shown) == report.episodes[0].length <= GAME_STEPS + 1
    assert shown[0].shape == (210, 160, 3)
    assert any((picture != shown[0]).any() for picture in shown)


def test_a_seed_repeats_an_evaluation(tmp_path):
    run(tmp_path, *INLINE, "--run.total_env_steps=800")
    first, again, other = (
        evaluate_run(tmp_path, episodes=10, greedy=False, video=False, seed=seed).episodes for seed in (1, 1, 2)
    )
    assert first == again != other


def test_a_checkpoint_named_from_its_own_folder_reports_to_its_run(pong, monkeypatch, capsys):
    newest = next((pong / "checkpoints").iterdir()).name
    monkeypatch.chdir(pong / "checkpoints")
    assert main(["eval", newest, "--episodes", "1", "--greedy"]) == 0
    assert capsys.readouterr().out.startswith("1 episodes (greedy actions)")
    assert json.loads((pong / "eval" / f"{newest}-greedy.json").read_text())["standard_error"] is None
    assert not (pong / "checkpoints" / "eval").exists()


def test_episodes_are_the_first_of_each_environment(tmp_path):
    run(tmp_path, *INLINE, "--run.total_env_steps=800")
    report = evaluate_run(tmp_path, episodes=25, greedy=True, video=False)
    played = np.bincount([episode.env for episode in report.episodes], minlength=20)
    assert played.tolist() == [2] * 5 + [1] * 15


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [(["--seed", "-1"], "must be from 0"), (["--seed", "x"], "--seed"), ([], "eval: File exists")],
)
def test_mistakes_are_one_line(pong, tmp_path, capsys, arguments, reason):
    copy = tmp_path / "run"
    shutil.copytree(pong, copy, ignore=shutil.ignore_patterns("eval"))
    (copy / "eval").write_text("a file where the folder should be")
    try:
        status = main(["eval", str(copy), *arguments])
    except SystemExit as exit_:
        status = exit_.code
    errors = capsys.readouterr().err
    assert (status, errors.count("\n")) == (2, 1)
    assert reason in errors
