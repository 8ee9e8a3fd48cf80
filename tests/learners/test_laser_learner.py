"""The learner with behaviour relevance: what is rejected, and what that leaves."""

import math

import numpy as np
import pytest
import torch

from learners.relevance import Relevance, relevant
from learners.settings import ImpactSettings
from rl_platform.core.distributions import Categorical
from rl_platform.core.schedule import Schedule
from rl_platform.core.types import Batch
from tests.learners.small_learner import (
    COLUMNS,
    VECTORS,
    acted_by,
    hard_batch,
    learner,
    optimizer_steps,
    parameters,
    plain,
)

REPLAYED = slice(0, COLUMNS, 2)
THRESHOLD = 0.05
OBJECTIVES = {
    "vtrace": {},
    "ppo": {"objective": "ppo", "estimator": "gae", "epochs": 2, "minibatches": 2},
    "impact": {"objective": "impact", "impact": ImpactSettings(target_every=3)},
}


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_an_infinite_threshold_is_none_bit_for_bit(objective: str):
    settings = OBJECTIVES[objective]
    plain_one, bounded = (
        learner(VECTORS, **settings),
        learner(VECTORS, relevance=Relevance(threshold=math.inf), **settings),
    )
    for seed in range(4):
        expected, info = (each.update(hard_batch(seed, replayed=REPLAYED)) for each in (plain_one, bounded))
        assert info.metrics["accept_rate"] == info.metrics["accept_rate_replayed"] == 1
        shown = {name: info.metrics[name] for name in expected.metrics}
        assert plain(info._replace(metrics=shown)) == plain(expected)
    assert parameters(plain_one).tobytes() == parameters(bounded).tobytes()


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_batch_that_is_rejected_is_no_step(objective: str):
    learning = learner(VECTORS, relevance=Relevance(threshold=0.0), **OBJECTIVES[objective])
    before = parameters(learning)
    info = learning.update(hard_batch(replayed=REPLAYED))
    assert (info.skipped, info.version, info.env_steps) == (False, 1, hard_batch(replayed=REPLAYED).env_steps)
    assert info.metrics["accept_rate"] == info.metrics["accept_rate_replayed"] == 0
    assert "loss/total" not in info.metrics
    assert parameters(learning).tobytes() == before.tobytes()
    assert learning.state_dict()["optimizer"]["tensors"] == {}


def accepted(relevance: Relevance, made: Batch) -> np.ndarray:
    """[B, T] by a learner that has not learned yet."""
    own = acted_by(learner(), made).steps.behaviour
    return relevant(relevance, distribution=Categorical(2), params=torch.tensor(own),
                    behaviour=torch.tensor(made.steps.behaviour), rho_clip=1.0).numpy()  # fmt: skip


@pytest.mark.parametrize("policy", ["implied", "behaviour"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_rejected_step_is_as_good_as_invalid(objective: str, policy: str):
    """The same update as without a threshold on a batch in which those steps are invalid."""
    relevance, made = Relevance(policy, "pi_first", THRESHOLD), hard_batch(replayed=REPLAYED)
    kept = made.steps.valid & accepted(relevance, made)
    assert 0 < kept.sum() < made.steps.valid.sum()
    filtered = made._replace(steps=made.steps._replace(valid=kept))
    settings = OBJECTIVES[objective]
    rejecting, masked = learner(VECTORS, relevance=relevance, **settings), learner(VECTORS, **settings)
    info, expected = rejecting.update(made), masked.update(filtered)
    assert optimizer_steps(rejecting) == optimizer_steps(masked)
    assert parameters(rejecting).tobytes() == parameters(masked).tobytes()
    assert info.metrics["loss/total"] == expected.metrics["loss/total"]


def test_impacts_target_network_is_what_relevance_and_ratios_are_of():
    """V-trace estimates the returns of its policy. Until the third update it is the one before the first."""
    relevance, made = Relevance(threshold=THRESHOLD), hard_batch(2)
    learning = learner(VECTORS, relevance=relevance, learning_rate=Schedule(0.3), **OBJECTIVES["impact"])
    for seed in range(2):
        learning.update(hard_batch(seed))
    present = learning.weights().vector
    metrics, kept = learning.update(made).metrics, accepted(relevance, made) & made.steps.valid
    assert metrics["accept_rate"] == kept.sum() / made.steps.valid.sum()
    assert (present != parameters(learner())).any()
    of_target = acted_by(learner(), made).steps.behaviour
    log_ratios = log_prob(of_target, made.steps.action) - log_prob(made.steps.behaviour, made.steps.action)
    ratios = np.exp(log_ratios[kept])
    assert metrics["rho_mean"] == pytest.approx(ratios.mean(), rel=1e-4)
    assert metrics["rho_clip_share"] == pytest.approx((ratios > 1).mean(), rel=1e-4)


def log_prob(logits: np.ndarray, action: np.ndarray) -> np.ndarray:
    """[B, T] of logits [B, T, 2]."""
    all_of_them = torch.from_numpy(logits.copy()).log_softmax(-1).numpy()
    return np.take_along_axis(all_of_them, action[..., None], -1)[..., 0]


def test_accept_rates_are_counted():
    relevance, made = Relevance(threshold=THRESHOLD), hard_batch(replayed=REPLAYED)
    keeps, valid, replayed = accepted(relevance, made), made.steps.valid, ~made.online[:, None]
    metrics = learner(relevance=relevance).update(made).metrics
    assert metrics["accept_rate"] == (keeps & valid).sum() / valid.sum()
    assert metrics["accept_rate_replayed"] == (keeps & valid & replayed).sum() / (valid & replayed).sum()
    assert metrics["accept_rate"] != metrics["accept_rate_replayed"]
    online = learner(relevance=relevance).update(hard_batch()).metrics
    assert "accept_rate_replayed" not in online


def test_how_far_replayed_steps_are_is_told_of_rejected_ones_too():
    """KL(π‖μ) is what shows staleness: a mean over what relevance lets through would be bounded by its threshold."""
    made = hard_batch(replayed=slice(0, 1))
    far = made.steps.behaviour.copy()
    far[0] = np.where(made.steps.valid[0][:, None], np.array([8.0, -8.0], np.float32), math.nan)
    made = made._replace(steps=made.steps._replace(behaviour=far))
    metrics = learner(relevance=Relevance(threshold=THRESHOLD)).update(made).metrics
    assert metrics["accept_rate_replayed"] == 0
    own = acted_by(learner(), made).steps.behaviour[0][made.steps.valid[0]]
    log_pi, log_mu = (torch.tensor(logits).double().log_softmax(-1) for logits in (own, [[8.0, -8.0]]))
    expected = (log_pi.exp() * (log_pi - log_mu)).sum(-1).mean().item()
    assert metrics["kl_to_behaviour_replayed"] == pytest.approx(expected, rel=1e-5)


def test_the_mean_is_over_accepted_steps():
    relevance, made = Relevance(threshold=THRESHOLD), hard_batch(replayed=REPLAYED)
    total, mean = (learner(relevance=relevance, reduction=each).update(made).metrics for each in ("sum", "mean"))
    kept = (made.steps.valid & accepted(relevance, made)).sum()
    for name in ("loss/policy", "loss/value", "loss/entropy"):
        assert total[name] == pytest.approx(mean[name] * kept, rel=1e-5)


def test_rejected_steps_are_not_cloned_either():
    """A replayed column that is rejected entirely: what it says of values does not matter."""
    made = hard_batch(replayed=slice(0, 1))
    far = made.steps.behaviour.copy()
    far[0] = np.where(made.steps.valid[0][:, None], np.array([8.0, -8.0], np.float32), math.nan)
    settings = {"relevance": Relevance(threshold=THRESHOLD), "value_cloning_weight": 0.5, "policy_cloning_weight": 0.5}
    weights = []
    for shift in (0.0, 100.0):
        steps = made.steps._replace(behaviour=far, value=made.steps.value + np.float32(shift))
        learning = learner(VECTORS, **settings)
        info = learning.update(made._replace(steps=steps))
        assert info.metrics["accept_rate_replayed"] == 0
        weights.append(parameters(learning))
    assert weights[0].tobytes() == weights[1].tobytes()
    assert weights[0].tobytes() != parameters(learner()).tobytes()
