"""What the measurements of exploration find, on CartPole."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from benchmarks import exploration_study, exploration_table, montezuma_novelty, record_run, rnd_async
from benchmarks.exploration_table import Outcome, Trained
from benchmarks.method_table import Row
from benchmarks.montezuma_novelty import Judged
from benchmarks.montezuma_walk import familiar_frames
from benchmarks.study import Curve, Unit, curve, curves, done, kept, write_curves
from configs.loader import load_config
from rl_platform.runtime.train import train
from tests.runtime.launched import last_state

GOOD = Row("m", "rnd", 1.0, value=1.0, gradient_norm=1.0, rounding=1e-12, change=0.1)
ROWS = [{"learner_updates": updates, "env_steps": 100 * updates, "wall_s": wall_s}
        for updates, wall_s in ((0, 0.0), (1, 5.0), (2, 6.0), (2, 6.5), (4, 8.0), (6, 10.0), (6, 99.0))]  # fmt: skip


def test_every_term_of_bonuses_has_a_gradient_and_matters():
    rows = exploration_table.terms_here("classic/cartpole_rnd")
    assert [row.term for row in rows] == ["policy", "value", "intrinsic_value", "rnd"]  # entropy has weight 0 there
    assert all(row.passed and row.rounding < 1e-10 for row in rows)
    assert rows[-1].gradient_norm > 0 and rows[-1].change > 0


def test_what_a_run_says_of_itself(tmp_path):
    name = "classic/cartpole_rnd"
    steps = exploration_table.env_steps(name)
    config = load_config(name, [f"--run.total_env_steps={steps}", "--run.eval=null"], [exploration_table.SMALL])
    _, status = train(config, tmp_path / "run")
    assert status == 0
    trained = exploration_table.of_run(tmp_path / "run", exploration_table.first_updates(name))
    assert exploration_table.UPDATES <= trained.updates <= exploration_table.UPDATES + 3  # resets are no env steps
    assert trained.env_steps_per_s > 0
    assert trained.passed


@pytest.mark.slow
def test_frames_that_a_run_has_never_seen_are_newer_to_it_than_those_that_it_knows(tmp_path):
    """A young run on the real game; noise stands for rooms, which takes a search longer to find."""
    overrides = ["--cluster.mode=inline", "--cluster.pipeline=serial", "--run.eval=null", "--run.total_env_steps=4096",
                 "--learner.rnd.init_updates=4", "--logging.progress=off"]  # fmt: skip
    _, status = train(load_config("montezuma/impala_rnd", overrides, [exploration_table.SMALL]), tmp_path / "run")
    assert status == 0
    noise = np.random.default_rng(0).integers(0, 256, (1, 32, 4, 84, 84), np.uint8)
    np.savez(tmp_path / "walk.npz", rooms=[0], first_frames=noise, familiar_room=1,
             familiar_frames=familiar_frames(0, 64))  # fmt: skip
    found = montezuma_novelty.compare(tmp_path / "run", tmp_path / "walk.npz")
    new, first = found.rooms[0], found.rooms[1]
    assert (new.visits, new.frames, first.frames) == (0, 32, 64)
    assert first.visits == last_state(tmp_path / "run")["run"]["statistics"]["rooms"]["rooms"]["1"]["visits"] > 0
    assert new.over_first > 2
    assert first.low <= first.mean <= first.high < new.low
    assert found.failures() == [f"room 1 is not familiar: {first.visits} visits"], "the run is young"


FIRST = Judged(mean=1.0, low=0.9, high=1.1, frames=64, visits=1001, over_first=1.0)
NEW = Judged(mean=2.0, low=1.9, high=2.1, frames=32, visits=999, over_first=2.0)


@pytest.mark.parametrize(("first", "new", "failures"), [
    (FIRST, NEW, []),
    (FIRST._replace(visits=1000), NEW, ["room 1 is not familiar: 1000 visits"]),
    (FIRST, NEW._replace(visits=1000), ["room 2 is not new: 1000 visits"]),
    (FIRST, NEW._replace(mean=1.0, over_first=1.0), ["room 2 has no higher bonus: 1 of the first room's"]),
    (FIRST, NEW._replace(mean=math.nan, over_first=math.nan), ["room 2 has no higher bonus: nan of the first room's"]),
])  # fmt: skip
def test_novelty_passes_where_new_rooms_are_newer_than_a_familiar_one(first, new, failures):
    assert montezuma_novelty.Comparison(1, {1: first, 2: new}).failures() == failures


@pytest.mark.parametrize(("trained", "terms", "passed"), [
    (Trained(10, 100.0, (1.0, 0.5)), [GOOD], True),
    (Trained(10, 100.0, None), [GOOD._replace(term="value")], True),
    (Trained(10, 100.0, None), [GOOD], False),
    (Trained(9, 100.0, (1.0, 0.5)), [GOOD], False),
    (Trained(10, 100.0, (1.0, float("nan"))), [GOOD], False),
    (Trained(10, float("nan"), (1.0, 0.5)), [GOOD], False),
    (Trained(10, 0.0, (1.0, 0.5)), [GOOD], False),
    (Trained(10, 100.0, (1.0, 0.5)), [GOOD, GOOD._replace(gradient_norm=0.0)], False),
    (Trained(10, 100.0, (1.0, 0.5)), [], False),
    (None, [], False),
])  # fmt: skip
def test_table_passes_what_ran_with_every_term_at_work(trained, terms, passed):
    assert Outcome("m", trained, terms, 1.0).passed == passed
    assert ("FAILED" in exploration_table.lines(Outcome("m", trained, terms, 1.0))[0]) == (not passed)


def test_a_run_that_hangs_is_ended_and_has_failed(capfd):
    assert exploration_table.train("classic/cartpole_rnd", limit_s=0.2) is None
    assert "classic/cartpole_rnd: killed, because it had not ended after 0.2 s" in capfd.readouterr().err


def test_ratios_are_of_rates_round_by_round():
    rates = {"asynchronous": (6.0, 8.0, 9.0), "waiting": (3.0, 2.0, 3.0), "serial": (1.0, 2.0, 9.0)}
    found = {name: [rnd_async.Figures(rate, 0.0, 0.0) for rate in each] for name, each in rates.items()}
    assert rnd_async.over(found, "waiting") == {"median": 3.0, "rounds": [2.0, 4.0, 3.0]}
    assert rnd_async.over(found, "serial") == {"median": 4.0, "rounds": [6.0, 4.0, 1.0]}


def test_rate_is_taken_between_updates_after_the_warm_up():
    assert rnd_async.rate(ROWS) == pytest.approx((600 - 200) / (10.0 - 6.0))


@pytest.mark.parametrize("wiring", rnd_async.WIRINGS.values())
def test_all_wirings_load_at_other_sizes(wiring):
    sizes = rnd_async.Sizes(envs=4, steps=8, updates=5)
    config = load_config(rnd_async.CONFIG, [*rnd_async.ALIKE, *sizes.overrides(), *wiring])
    assert config.actors.count * config.actors.envs_per_actor == config.learner.batch_columns == 4
    assert config.run.total_env_steps == 5 * 4 * 8


def test_environments_must_be_dealt_evenly():
    with pytest.raises(SystemExit, match="--envs 3 is no multiple of the 2 rollout actors"):
        rnd_async.Sizes(envs=3, steps=8, updates=5).overrides()


def pair(task: str, *, solved: float, failed: float) -> dict[Unit, Curve]:
    """Three runs of each side, of four rows."""
    steps = np.array([1.0, 2.0, 4.0, 5.0]) * 1e6
    sides = {"rnd": Curve(steps, np.array([0.0, 0.6, 0.1, solved])), "ppo": Curve(steps, np.array([0.0, failed, 0, 0]))}
    return {Unit(f"{task}_{side}", seed): points for seed in (1, 2, 3) for side, points in sides.items()}


def test_a_study_of_pairs_says_what_speaks_against_bonuses():
    found = {unit: exploration_study.ended(points) for unit, points in pair("m", solved=0.7, failed=0.19).items()}
    assert found["m_rnd", 1] == (5_000_000, 0.7, 0.7, pytest.approx(1.4 / 4), 2_000_000)
    assert found["m_ppo", 1].solved_after is None
    assert exploration_study.failures(found, ["m"]) == []
    missing = ["n_rnd has 0 runs of 3", "n_ppo has 0 runs of 3"]
    assert exploration_study.failures(found, ["m", "n"]) == missing
    del found["m_ppo", 3]
    assert exploration_study.failures(found, ["m"]) == ["m_ppo has 2 runs of 3"]
    bad = {unit: exploration_study.ended(points) for unit, points in pair("m", solved=0.59, failed=0.2).items()}
    against = exploration_study.failures(bad, ["m"])
    assert len(against) == 6
    assert {"m_rnd, seed 1, ends at 0.59", "m_ppo, seed 2, reached 0.20"} < set(against)


def test_curves_that_are_kept_end_where_the_runs_do(tmp_path):
    write_curves(pair("m", solved=0.7, failed=0.1), tmp_path, most_rows=2)
    rows = (tmp_path / "curves.csv").read_text().splitlines()
    assert len(rows) == 1 + 6 * 2
    assert rows[1:3] == ["m_rnd,1,2000000,0.6", "m_rnd,1,5000000,0.7"]
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def done_run(folder: Path, *, seed: int, entropy: float, returns: tuple[float | None, ...] = (None, 0.5),
             total: int = 10) -> None:  # fmt: skip
    """What a run that was to take `total` env steps leaves of itself: rows, each after 5 more of them."""
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text('{"status": "done"}')
    parts: dict[str, Any] = {part: {} for part in ("env", "actors", "replay", "model", "cluster")}
    run = {"dir": str(folder), "seed": seed, "total_env_steps": total}
    config = parts | {"learner": {"entropy": entropy}, "logging": {"progress": str(folder)}, "run": run}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    rows = ({"env_steps": 5 * row, "episode_return_mean": value} for row, value in enumerate(returns, start=1))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_runs_of_one_kind_must_have_been_trained_alike(tmp_path):
    with pytest.raises(SystemExit, match="no run has come to its end"):
        curves(done(tmp_path))
    done_run(tmp_path / "m_rnd_1", seed=1, entropy=0.1)
    done_run(tmp_path / "m_rnd_2", seed=2, entropy=0.1)
    done_run(tmp_path / "m_ppo_1", seed=1, entropy=0.2)
    done_run(tmp_path / "m_ppo_1_old", seed=1, entropy=0.3)
    assert {unit: points.returns.tolist() for unit, points in curves(done(tmp_path)).items()} == {
        ("m_ppo", 1): [0.5], ("m_rnd", 1): [0.5], ("m_rnd", 2): [0.5]
    }  # fmt: skip
    done_run(tmp_path / "m_rnd_3", seed=3, entropy=0.2)
    with pytest.raises(SystemExit, match=r"m_rnd_3 has other settings than .*m_rnd_1: compare their config"):
        curves(done(tmp_path))


@pytest.mark.parametrize(("returns", "total", "ended"), [((0.1, 0.7), 15, 10), ((None, None), 10, 0)])
def test_runs_that_ended_too_soon_do_not_count(tmp_path, returns, total, ended):
    done_run(tmp_path / "m_rnd_1", seed=1, entropy=0.1, returns=returns, total=total)
    with pytest.raises(SystemExit, match=rf"m_rnd_1 has returns up to {ended} env steps, not {total}: train on"):
        curves(done(tmp_path))


def test_what_is_kept_of_a_run_counts_like_the_run(tmp_path):
    done_run(tmp_path / "m_rnd_1", seed=1, entropy=0.1)
    record_run.write_csv(tmp_path / "m_rnd_1", tmp_path / "m_rnd_1" / "curve.csv")
    (tmp_path / "m_rnd_1" / "metrics.jsonl").unlink()
    points = curves(done(tmp_path))["m_rnd", 1]
    assert (points.steps.tolist(), points.returns.tolist()) == ([10], [0.5])
    runs = kept("minigrid_")
    assert ("multiroom_n4_rnd", 3) in runs and curve(runs["multiroom_n4_rnd", 3]).returns[-1] > 0.6
