"""The learner with CLEAR's terms: what they change, and on which columns."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from rl_platform.core.types import Batch
from tests.learners.small_learner import (
    COLUMNS,
    STEPS,
    VECTORS,
    acted_by,
    batch,
    hard_batch,
    learner,
    parameters,
    plain,
)

CLONING = {"policy_cloning_weight": 0.3, "value_cloning_weight": 0.2}
REPLAYED = slice(0, COLUMNS, 2)


def after(made: Batch, **settings: Any) -> np.ndarray:
    """[P] of a learner that has made one update."""
    learning = learner(dtype=torch.float64, **settings)
    assert not learning.update(made).skipped
    return parameters(learning)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_an_online_batch_is_plain_vtrace_bit_for_bit(reduction: str):
    plain_one, cloning = learner(VECTORS, reduction=reduction), learner(VECTORS, reduction=reduction, **CLONING)
    for seed in range(5):
        expected, info = (each.update(hard_batch(seed)) for each in (plain_one, cloning))
        assert info.metrics["loss/policy_cloning"] == info.metrics["loss/value_cloning"] == 0
        assert not {"kl_replayed", "value_drift_replayed"} & info.metrics.keys()
        shown = {name: info.metrics[name] for name in expected.metrics}
        assert plain(info._replace(metrics=shown)) == plain(expected)
    assert parameters(plain_one).tobytes() == parameters(cloning).tobytes()


@pytest.mark.parametrize("weight", CLONING)
def test_each_term_matters(weight: str):
    made = hard_batch(replayed=REPLAYED)
    assert not np.array_equal(after(made, **CLONING), after(made, **(CLONING | {weight: 0.0})))


def test_terms_are_those_of_a_loop_over_replayed_steps():
    """KL(μ‖π) and (V − V_μ)² over their number, with the weights of the learner before its update."""
    made = hard_batch(replayed=REPLAYED)
    learning = learner(VECTORS, reduction="mean", **CLONING)
    own = acted_by(learning, made).steps
    divergences, drifts = [], []
    for column in range(COLUMNS)[REPLAYED]:
        for t in np.flatnonzero(made.steps.valid[column]):
            mu, pi = (softmax(each.behaviour[column, t].astype(np.float64)) for each in (made.steps, own))
            divergences.append(sum(mu[action] * math.log(mu[action] / pi[action]) for action in range(2)))
            drifts.append(float(own.value[column, t, 0]) - float(made.steps.value[column, t, 0]))
    metrics = learning.update(made).metrics
    assert metrics["kl_replayed"] == pytest.approx(np.mean(divergences), rel=1e-5)
    assert metrics["value_drift_replayed"] == pytest.approx(np.mean(np.abs(drifts)), rel=1e-5)
    assert metrics["loss/policy_cloning"] == pytest.approx(0.3 * np.mean(divergences), rel=1e-5)
    assert metrics["loss/value_cloning"] == pytest.approx(0.2 * np.mean(np.square(drifts)), rel=1e-5)
    parts = sum(metrics[name] for name in metrics if name.startswith("loss/") and name != "loss/total")
    assert metrics["loss/total"] == pytest.approx(parts, rel=1e-5)


def softmax(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits) / np.exp(logits).sum()


def test_values_of_online_columns_are_not_cloned():
    """They may be anything there, NaN included, and at replayed steps they count."""
    made = hard_batch(replayed=REPLAYED)
    online, replayed = made.steps.value.copy(), made.steps.value.copy()
    online[made.online] = math.nan
    replayed[0, made.steps.valid[0]] += 1.0
    expected = after(made, **CLONING)
    assert after(made._replace(steps=made.steps._replace(value=online)), **CLONING).tobytes() == expected.tobytes()
    assert not np.array_equal(after(made._replace(steps=made.steps._replace(value=replayed)), **CLONING), expected)


def test_what_acted_just_now_is_cloned_already():
    """π = μ and V = V_μ: both terms are 0, and their gradients change nothing that can be seen."""
    made = acted_by(learner(), batch())._replace(online=np.zeros(COLUMNS, bool))
    metrics = learner(VECTORS, **CLONING).update(made).metrics
    assert metrics["kl_replayed"] == pytest.approx(0, abs=1e-9)
    assert metrics["value_drift_replayed"] == pytest.approx(0, abs=1e-6)
    difference = after(made, **CLONING) - after(made)
    assert np.abs(difference).max() < 1e-5 * np.abs(after(made) - parameters(learner())).max()


def test_cloning_holds_what_replay_remembers():
    """New columns pay for action 1, old ones acted 0: with cloning the policy stays closer to these."""
    behaviour = np.where(np.arange(2) == 0, 2.0, 0.0) * np.ones((COLUMNS, STEPS, 1))
    remembered = []
    for weight in (1e-9, 10.0):
        learning = learner(policy_cloning_weight=weight)
        for seed in range(30):
            made = batch(seed=seed, behaviour=behaviour.astype(np.float32))
            metrics = learning.update(made._replace(online=np.arange(COLUMNS) % 2 == 0)).metrics
        remembered.append(metrics["kl_replayed"])
    assert remembered[1] < 0.2 * remembered[0]
