"""Bonuses in evaluations: of the games that are kept, as the checkpoint's own networks judge them."""

import json
import re

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from configs.loader import load_config
from rl_platform.core.interfaces import StepResult
from rl_platform.runtime.errors import InputError
from rl_platform.runtime.evaluation import Plan, evaluate_run, play_games
from rl_platform.runtime.load import read_run
from rl_platform.runtime.train import train
from rl_platform.runtime.trained_bonuses import BonusWatch, GameBonus, make_trained_rnd
from tests.runtime.launched import INLINE, SMALL

PLAN = Plan(episodes=5, greedy=False, seed=3)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    directory = tmp_path_factory.mktemp("bonuses") / "run"
    overrides = [*SMALL, *INLINE, "--run.total_env_steps=1600", "--run.eval=null", "--learner.minibatches=1"]
    _, status = train(load_config("classic/cartpole_rnd", overrides), directory)
    assert status == 0
    return directory


def step(bonuses: list[float], ended: list[bool], first: list[bool]) -> StepResult:
    """Environments whose bonus is what they show."""
    no = np.zeros(len(bonuses), bool)
    shown = np.array(bonuses, np.float32)[:, None]
    return StepResult(shown, shown[:, 0], np.array(ended), no, ~np.array(first), np.array(first), np.array(ended))


def test_bonuses_are_added_up_over_the_games_that_are_kept():
    watch = BonusWatch(lambda observation: observation[:, :, 0], num_envs=2)
    watch.add(step([1.0, 4.0], [False, True], [False, False]), np.array([True, True]))
    watch.add(step([2.0, 9.0], [True, False], [False, True]), np.array([True, False]))  # 9: what a reset showed
    watch.add(step([9.0, 9.0], [False, True], [True, False]), np.array([True, False]))  # a game too many has ended
    watch.add(step([8.0, 9.0], [True, False], [False, True]), np.array([True, False]))
    assert watch.games == [GameBonus(4.0, 4.0), GameBonus(1.5, 3.0), GameBonus(8.0, 8.0)]
    assert watch.first == [1.0, 2.0]


def test_a_run_without_bonuses_has_none():
    assert make_trained_rnd(load_config("classic/cartpole_ppo"), {}) is None


def test_the_log_tells_of_the_warm_up(trained):
    told = [line for line in (trained / "log.txt").read_text().splitlines() if "warm-up" in line]
    assert len(told) == 2
    assert "warm-up: the first 10 updates (up to 800 env steps) only learn the scale of bonuses' inputs" in told[0]
    steps = int(re.search(r"warm-up done at (\d+) env steps: the policy begins to learn", told[1])[1])
    assert 700 < steps <= 800, "resets are no env steps"


def test_the_networks_are_those_of_the_checkpoint(trained):
    config, state, _ = read_run(trained)
    rnd = make_trained_rnd(config, state)
    restored = rnd.state_dict()
    for name in ("predictor", "target"):
        for key, array in state["rnd"][name].items():
            np.testing.assert_array_equal(restored[name][key], array)
    assert (rnd.judge(torch.zeros(1, 2, 4)) > 0).all()


def with_encoder(config, **changes):
    encoder = config.model.encoder.model_copy(update=changes)
    return config.model_copy(update={"model": config.model.model_copy(update={"encoder": encoder})})


def test_checkpoints_of_other_networks_are_refused(trained):
    config, state, _ = read_run(trained)
    wider = config.learner.model_copy(update={"rnd": config.learner.rnd.model_copy(update={"outputs": 7})})
    without = {name: part for name, part in state.items() if name != "rnd"}
    narrow, of_7 = with_encoder(config, hidden=(32,)), config.model_copy(update={"learner": wider})
    for other, of in ((narrow, state), (of_7, state), (config, without)):
        with pytest.raises(InputError, match=r"the checkpoint does not fit its run's config\.yaml: [^\n]*$"):
            make_trained_rnd(other, of)


def test_an_evaluation_reports_the_bonuses_of_each_game(trained):
    report = evaluate_run(trained, episodes=PLAN.episodes, greedy=PLAN.greedy, video=False, seed=PLAN.seed)
    written = json.loads((trained / "eval" / f"{report.checkpoint.name}-sampled.json").read_text())
    expected = slow_bonuses(trained)
    assert len(expected) == len(report.episodes) == 5
    assert written["lengths"] == [len(game) for game in expected]
    np.testing.assert_allclose(written["bonus_sum"], [game.sum() for game in expected], rtol=1e-4)
    np.testing.assert_allclose(written["bonus_mean"], [game.mean() for game in expected], rtol=1e-4)
    picture = imread(trained / "eval" / f"{report.checkpoint.name}-sampled-bonus.png")
    assert picture.std() > 0.01
    lines = str(report).splitlines()
    assert lines[2].split() == ["return", "length", "bonus"]
    assert [float(line.split()[2]) for line in lines[3:]] == pytest.approx(written["bonus_mean"], rel=1e-2)


def slow_bonuses(directory) -> list[np.ndarray]:
    """Of each game, by its end, from all that was shown: one environment, one step at a time."""
    config, state, _ = read_run(directory)
    rnd, shown = make_trained_rnd(config, state), []
    played = play_games(config, state, PLAN, witness=lambda step, kept: shown.append(step.observation.copy()))
    games = [np.array([frame[game.env] for frame in shown[: game.length]]) for game in played]  # each env's first game
    return [rnd.judge(torch.from_numpy(game)[:, None])[:, 0].numpy() for game in games]
