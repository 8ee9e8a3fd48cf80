"""Learner ranks: two real processes over gloo, against one process with the same columns."""

import math
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection

import numpy as np
import pytest
import torch

from actors.envs.gymnasium_env import GymnasiumVectorEnv
from learners.exploration.settings import RndSettings
from learners.ranks import Address, host_ranks, join_ranks
from learners.relevance import Relevance
from learners.settings import ImpactSettings
from models.build import build_actor_critic
from rl_platform.core.seeding import derive_seeds
from rl_platform.core.types import Batch, UpdateInfo
from tests.learners.rank_batches import SITUATIONS, Situation, half_replayed, invalid, joined, part, record, shared
from tests.learners.rank_process import Case, Trained, keep_up, make_learner, parameters, train, train_together

SPAWN = multiprocessing.get_context("spawn")
PATIENCE_S = 5.0
"""How long a rank waits for one that is lost."""


@pytest.fixture(scope="module")
def recorded() -> list[Batch]:
    """Eight columns of real CartPole, resets included."""
    env = GymnasiumVectorEnv(env_id="CartPole-v1", seeds=derive_seeds(1, 8, "env"), max_episode_steps=25)
    network = build_actor_critic(env.spec, encoder={"kind": "mlp"}, seed=3)
    batches = record(env, network, unroll_length=10, num_batches=20)
    env.close()
    assert not all(batch.steps.valid.all() for batch in batches)
    return batches


@pytest.fixture(scope="module")
def two_processes() -> Iterator[ProcessPoolExecutor]:
    """They outlive their groups: every test has them meet anew."""
    with ProcessPoolExecutor(2, mp_context=SPAWN) as pool:
        yield pool


CASES = (
    Case(torch.float32, "sum"),
    Case(torch.float32, "mean", normalize_advantages=True),
    Case(torch.float64, "sum", normalize_advantages=True),
    Case(torch.float64, "mean"),
)


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.dtype}-{case.reduction}")
def test_two_ranks_learn_what_one_learns_from_all_columns(
    two_processes: ProcessPoolExecutor, recorded: list[Batch], case: Case, situation: Situation
):
    updates, tolerance = {torch.float32: (20, 1e-5), torch.float64: (200, 1e-9)}[case.dtype]
    parts = shared(recorded, situation, updates)
    here, there = train_together(two_processes, case, parts)
    alone = train(case, [joined(each) for each in parts])
    assert_equal(here, there, alone, tolerance)
    assert np.abs(alone.parameters - parameters(make_learner(case))).max() > 1000 * tolerance  # it has learned


def assert_equal(here: Trained, there: Trained, alone: Trained, tolerance: float) -> None:
    """Two ranks are the same, and what one learner is that had all columns."""
    assert here.parameters.tobytes() == there.parameters.tobytes()
    assert np.abs(here.parameters - alone.parameters).max() <= tolerance
    assert here.exploration.tobytes() == there.exploration.tobytes()
    np.testing.assert_allclose(here.exploration, alone.exploration, rtol=tolerance, atol=tolerance)
    for infos in zip(here.infos, there.infos, alone.infos, strict=True):
        one, other, whole = map(of_all_ranks, infos)
        assert one == other
        assert one._replace(metrics={}) == whole._replace(metrics={})
        assert one.metrics.keys() == whole.metrics.keys()
        for name in whole.metrics.keys() - {"explained_variance", "intrinsic_explained_variance"}:
            assert one.metrics[name] == pytest.approx(whole.metrics[name], rel=1e-3, abs=1e-4), name


def of_all_ranks(info: UpdateInfo) -> UpdateInfo:
    """Without what is said of one rank alone."""
    return info._replace(columns_dropped=0, had_batch=True, histograms={})


ALGORITHMS = {
    "ppo": Case(torch.float64, "mean", True, settings={"estimator": "gae", "objective": "ppo", "epochs": 2}),
    "ppo corrected for lag": Case(torch.float64, "sum", settings={"objective": "ppo", "epochs": 2}),
    "impact": Case(
        torch.float64,
        "mean",
        settings={
            "objective": "impact",
            "impact": ImpactSettings(
                target_every=2, target_tau=0.5, kl_coefficient=0.5, kl_target=1e-4, buffer_batches=3, buffer_uses=2
            ),
        },
    ),
    "clear": Case(torch.float64, "mean", settings={"policy_cloning_weight": 0.5, "value_cloning_weight": 0.5}),
    "laser": Case(torch.float64, "sum", settings={"relevance": Relevance("behaviour", "tilde_first", 1e-3)}),
    "rnd": Case(torch.float64, "mean", settings={"rnd": RndSettings(update_proportion=1.0, init_updates=2)}),
    "rnd on surrogates": Case(
        torch.float64,
        "sum",
        settings={"rnd": RndSettings(update_proportion=1.0), "objective": "ppo", "epochs": 2},
    ),
    "rnd on embeddings": Case(
        torch.float64,
        "mean",
        settings={"rnd": RndSettings(update_proportion=1.0), "objective": "ppo", "epochs": 2},
        embedding_tau=0.1,
    ),
    "normalised": Case(torch.float64, "sum", normalize_observations=True),
}


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_two_ranks_are_one_for_every_algorithm(
    two_processes: ProcessPoolExecutor, recorded: list[Batch], algorithm: str, situation: Situation
):
    case, mixed = ALGORITHMS[algorithm], [half_replayed(batch) for batch in recorded]
    parts = shared(mixed, situation, 60)
    here, there = train_together(two_processes, case, parts)
    alone = train(case, [joined(each) for each in parts])
    assert_equal(here, there, alone, 1e-9)
    assert np.abs(alone.parameters - parameters(make_learner(case))).max() > 1e-3
    assert (alone.exploration.size > 0) == ("rnd" in algorithm)
    if algorithm == "laser":
        assert len({info.metrics["accept_rate_replayed"] for info in alone.infos}) > 10  # neither all nor none


def test_nan_on_one_rank_has_both_skip(two_processes: ProcessPoolExecutor, recorded: list[Batch]):
    left, right = part(recorded[0], slice(0, 4)), part(recorded[0], slice(4, None))
    poisoned = right._replace(steps=right.steps._replace(reward=np.full_like(right.steps.reward, math.nan)))
    good = shared(recorded, "equal", 2)
    ranks = train_together(two_processes, Case(watched=True), [good[0], (left, poisoned), good[1]])
    for rank in ranks:
        assert [info.skipped for info in rank.infos] == [False, True, False]
        assert math.isnan(rank.infos[1].metrics["loss/total"])
        assert rank.infos[1].env_steps == good[0][0].env_steps + good[0][1].env_steps + recorded[0].env_steps
        assert rank.norms[0] == rank.norms[1] != rank.norms[2]
    assert ranks[0].parameters.tobytes() == ranks[1].parameters.tobytes()


def test_an_update_without_a_valid_transition_on_any_rank_is_no_step(
    two_processes: ProcessPoolExecutor, recorded: list[Batch]
):
    nothing = invalid(recorded[1], after=0)
    parts = [(recorded[0], None), (None, None), (nothing, None), (None, recorded[1])]
    for rank in train_together(two_processes, Case(reduction="mean", watched=True), parts):
        assert not any(info.skipped for info in rank.infos)
        assert [info.updates for info in rank.infos] == [1, 2, 3, 4]
        assert rank.norms[0] == rank.norms[1] == rank.norms[2] != rank.norms[3]
        assert rank.infos[1].metrics.keys() == {"learning_rate"}
        assert rank.infos[1].env_steps == rank.infos[2].env_steps == recorded[0].env_steps


def test_policy_lag_is_that_of_all_columns(two_processes: ProcessPoolExecutor, recorded: list[Batch]):
    left, right = part(recorded[0], slice(0, 2)), part(recorded[0], slice(2, None))
    newer = right._replace(weight_version=np.array([0, 1, 1, 1, 1, 1]))
    for rank in train_together(two_processes, Case(), [(left, right), (left, newer)]):
        lags = [(info.metrics["policy_lag_mean"], info.metrics["policy_lag_max"]) for info in rank.infos]
        assert lags == [(0.0, 0.0), (3 / 8, 1.0)]


@contextmanager
def other_rank(batch: Batch) -> Iterator[tuple[int, Address, Connection]]:
    """Rank 0 of two in a process of its own: its pid, where it waits, and what asks it for an update on `batch`."""
    here, there = SPAWN.Pipe()
    process = SPAWN.Process(target=keep_up, args=(there, batch))
    process.start()
    there.close()
    try:
        yield process.pid, here.recv(), here
    finally:
        process.kill()
        process.join()


def test_a_dead_or_hanging_rank_raises_in_time_and_costs_no_state(recorded: list[Batch]):
    """The rank that is lost is the one that hosted the store; then this process joins another group."""
    for fault in (signal.SIGSTOP, signal.SIGKILL):
        with other_rank(recorded[0]) as (pid, address, ask):
            ranks = join_ranks(address, backend="gloo", index=1, count=2, timeout_s=PATIENCE_S)
            learner = make_learner(ranks=ranks)
            ask.send("update")
            learner.update(recorded[1])
            before = parameters(learner)
            os.kill(pid, fault)
            began = time.monotonic()
            with pytest.raises(RuntimeError):
                learner.update(recorded[2])
            assert time.monotonic() - began < PATIENCE_S + 3.0
            assert np.array_equal(before, parameters(learner))
            assert learner.state_dict()["updates"] == learner.weights().version == 1
            ranks.close()


def test_a_rank_that_never_comes_raises_in_time():
    address, store = host_ranks("127.0.0.1", timeout_s=1.0)
    began = time.monotonic()
    with pytest.raises(RuntimeError):
        join_ranks(address, store=store, backend="gloo", index=0, count=2, timeout_s=1.0)
    del store
    with pytest.raises(RuntimeError):
        join_ranks(address, backend="gloo", index=1, count=2, timeout_s=1.0)
    assert time.monotonic() - began < 10.0
