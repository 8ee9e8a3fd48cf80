"""What the measurements of methods and replay find on CartPole."""

import json

import numpy as np
import pytest

from benchmarks import method_table, replay_draws, replay_memory, replay_rate, replay_study, study
from benchmarks.replay_rate import Fed
from configs.loader import load_config
from configs.schema import Config
from rl_platform.runtime import build

ELITE = ["--actors.envs_per_actor=8", "--learner.batch_columns=8", "--actors.unroll_length=20",
         "--actors.max_policy_lag=8"]  # fmt: skip


SHORT_PONG = ("--run.total_env_steps=8000", "--env.max_episode_frames=200", "--logging.every_s=0.1")


def elite_config(capacity: int) -> Config:
    settings = load_config("classic/cartpole_elite", [*replay_draws.FIXED, *ELITE]).model_dump()
    queue, elite = settings["replay"]["sources"]
    settings["replay"]["sources"] = [queue, elite | {"capacity": capacity, "min_fill": 16}]
    return Config.model_validate(settings)


@pytest.fixture(scope="module")
def played():
    """A run that ends when its ring is full for the first time: fresh weights acted in the oldest columns."""
    config = elite_config(capacity=64)
    return config, replay_draws.play(config, 0.0, None)


def test_every_term_of_clear_has_a_gradient_of_its_own_and_matters():
    rows = method_table.measure("classic/cartpole_clear")
    assert [row.term for row in rows] == ["policy", "value", "entropy", "policy_cloning", "value_cloning"]
    assert [row.weight for row in rows[1:]] == [0.1, 0.01, 0.01, 0.005]
    assert all(row.passed for row in rows)
    assert all(0 < row.change < 1 for row in rows[1:])


def test_gradients_are_those_of_the_weighted_term():
    def gradient(weight):
        override = f"--learner.terms.value={weight}"
        return method_table.take(method_table.small("classic/cartpole_impala", [override]), moment).gradient

    moment = method_table.play(method_table.small("classic/cartpole_impala"))
    none, once, thrice = gradient(0), gradient(0.1), gradient(0.3)
    assert np.linalg.norm(once - none) > 0.1
    np.testing.assert_allclose(thrice - none, 3 * (once - none), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("wrong", [{"value": np.nan}, {"gradient_norm": 0.0}, {"gradient_norm": 9.0}, {"change": 0.0}])
def test_a_term_that_does_nothing_fails(wrong):
    good = method_table.Row("m", "value", 0.5, value=1.0, gradient_norm=11.0, rounding=1.0, change=0.1)
    assert good.passed
    assert not good._replace(**wrong).passed


def test_columns_are_compared_under_the_last_weights(played):
    config, run = played
    fresh = build.make_learner(config, run.spec).weights()
    columns = replay_draws.look_at(config, run._replace(weights=fresh))
    own = columns.version == 0
    assert 0 < own.sum() < len(own)
    np.testing.assert_allclose(columns.kl[own], 0.0, atol=1e-5)
    np.testing.assert_allclose(columns.drift[own], 0.0, atol=1e-2)  # features are stored in float16
    assert columns.kl[~own].min() > 1e-5
    assert columns.drift[~own].min() > 1e-2


def test_choosing_by_distance_lowers_it(played):
    config, run = played
    columns = replay_draws.look_at(config, run)
    uses = run.ring.uses.copy()
    found = replay_draws.comparisons(run, columns, num_columns=4, batches=30, seed=1)
    by_key = {(each.kind, each.other, each.measure): each for each in found}
    assert len(by_key) == 4 * 2 + 2 * 2
    assert by_key["attentive", "uniform", "distance"].lower == "yes"
    np.testing.assert_array_equal(run.ring.uses, uses)


def test_matched_columns_have_the_same_versions_and_are_distinct():
    version = np.array([3, 3, 3, 5, 5, 7])
    slots = np.array([[0, 1, 3], [5, 4, 2]])
    matched = replay_draws.same_ages(slots, version, np.random.default_rng(1))
    for drawn, batch in zip(matched, slots, strict=True):
        assert sorted(version[drawn]) == sorted(version[batch])
        assert len(set(drawn.tolist())) == len(drawn)


@pytest.mark.parametrize(("shift", "lower"), [(-1.0, "yes"), (1.0, "no"), (0.0, "unclear")])
def test_only_an_interval_apart_from_zero_decides(shift, lower):
    other = np.linspace(-1.0, 1.0, 50)
    own = other[::-1] + shift
    compared = replay_draws.compare(own, other, paired=False)
    assert compared["difference"] == pytest.approx(shift)
    # The standard deviation of other is 0.589, so that of the difference of means is 0.589 · √(2/50) = 0.118.
    assert compared["high"] - compared["low"] == pytest.approx(2 * 1.96 * 0.118, rel=0.05)
    assert replay_draws.Comparison("elite_1", "uniform", "kl", **compared).lower == lower


def test_pairs_are_compared_pair_by_pair():
    other = np.linspace(-1.0, 1.0, 50)
    compared = replay_draws.compare(other - 0.01, other, paired=True)
    assert (compared["low"], compared["high"]) == pytest.approx((-0.01, -0.01))


def test_a_learner_is_fed_with_scores_one_update_old_at_most():
    names = {kind: f"classic/cartpole_{name}" for kind, name in
             (("queue", "impala"), ("uniform", "uniform"), ("elite", "elite"), ("attentive", "attentive"))}  # fmt: skip
    configs = {kind: replay_rate.configured(name, ["--actors.envs_per_actor=8"]) for kind, name in names.items()}
    with replay_rate.own_ray():
        fed = replay_rate.measure(configs, rounds=1, updates=4)
    assert list(fed) == list(replay_rate.KINDS)
    assert all(each.score_age == 1 and each.updates_per_s > 0 for rounds in fed.values() for each in rounds)


@pytest.mark.parametrize(
    ("uniform", "elite", "age", "passed"),
    [(9.0, 7.0, 1, True), (8.9, 7.0, 1, False), (9.0, 6.9, 1, False), (9.0, 7.0, 2, False)],
)
def test_rates_are_medians_beside_the_queue(uniform, elite, age, passed):
    def rounds(rate):
        return [Fed(each, age) for each in (rate, 0.1, 100.0)]

    found = replay_rate.report({"queue": rounds(10.0), "uniform": rounds(uniform), "elite": rounds(elite),
                                 "attentive": rounds(3.0)})  # fmt: skip
    assert found["ratios"] == pytest.approx({"uniform": uniform / 10, "elite": elite / 10, "attentive": 0.3})
    assert found["passed"] == passed


def test_bytes_of_a_ring_are_those_of_its_arrays():
    config = replay_memory.with_room(elite_config(capacity=16), 640)
    found = replay_memory.measure(config)
    assert (found.columns, found.env_steps, found.unroll_length) == (32, 640, 20)
    # Observations 21 · 16, is_first 21; each step: action 8, reward 4, three flags, two parameters 8, value 4, features
    # 256; before time 0: action 8, reward 4, task 4; the ring's own 8 + 8 + 4 + 4
    # and the four numbers of its origin.
    column = 21 * 16 + 21 + 20 * (8 + 4 + 3 + 8 + 4 + 256) + 16 + 24 + 4 * 8
    assert found.bytes_per_env_step == pytest.approx(column / 20)
    assert found.bound == pytest.approx(1.03 * 21 / 20 * 16 + 256)
    assert 0 < found.valid_share <= 1


def test_the_study_compares_areas_on_the_seeds_that_both_kinds_have():
    """By hand: from −21 at 0 to −1 at 100 and then 19 at 300 the mean is (100 · −11 + 200 · 9) / 300 = 7/3."""
    assert study.Curve(np.array([0, 100, 300]), np.array([-21.0, -1.0, 19.0])).area() == pytest.approx(7 / 3)
    areas = {study.Unit("uniform", seed): area for seed, area in ((1, 1.0), (2, 2.0), (3, 3.0))}
    areas |= {study.Unit("elite_nearest", seed): areas[("uniform", seed)] + 5.0 for seed in (2, 3)}
    areas[study.Unit("attentive", 9)] = 4.0
    found = replay_study.compare(areas)
    assert found["uniform"] == {"area": {"mean": 2.0, "low": 1.0, "high": 3.0, "runs": 3}}
    assert found["elite_nearest"]["above_uniform"] == {"mean": 5.0, "low": 5.0, "high": 5.0, "runs": 2}
    assert found.keys() == {"uniform", "elite_nearest", "attentive"} and "above_uniform" not in found["attentive"]


def test_the_study_goes_on_where_it_was_cut_off_and_reports_what_is_done(tmp_path, monkeypatch, capsys):
    short = ("--replay.sources.1.min_fill=32", "--logging.every_s=0.2")
    monkeypatch.setitem(replay_study.KINDS, "uniform", ("uniform", *short))
    unit = study.Unit("uniform", 1)
    arguments = replay_study.arguments(unit, "minatar/breakout", 20_000)
    study.train(unit, tmp_path, arguments)
    before = (unit.folder(tmp_path) / "metrics.jsonl").read_bytes()
    study.train(unit, tmp_path, arguments)  # done: nothing happens
    assert (unit.folder(tmp_path) / "metrics.jsonl").read_bytes() == before
    points = study.curve(unit.folder(tmp_path))
    assert len(points.steps) == len(points.returns) > 1 and np.isfinite(points.returns).all()
    replay_study.report(tmp_path, tmp_path / "report")
    found = json.loads((tmp_path / "report" / "report.json").read_text())
    assert found == json.loads(capsys.readouterr().out)
    assert found["uniform"]["area"]["mean"] == pytest.approx(points.area())
    assert (tmp_path / "report" / "curves.csv").read_text().count("\n") == len(points.steps) + 1
    assert (tmp_path / "report" / "curves.png").read_bytes().startswith(b"\x89PNG")
