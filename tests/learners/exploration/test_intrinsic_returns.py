"""Returns of bonuses: they know no episodes. Against plain loops, on data full of terminations, resets and NaN."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from learners.estimates import NetworkOutputs, estimate_returns
from learners.exploration.settings import RndSettings
from learners.losses.value import value_loss
from learners.relevance import Relevance, relevant
from learners.sample import Bonuses, ReturnEstimates, Sample
from learners.settings import LearnerSettings
from rl_platform.core.distributions import Categorical
from rl_platform.core.types import Trajectory

STEPS, COLUMNS, ACTIONS = 7, 4, 3
WEIGHTS = RndSettings(discount=0.9, extrinsic_weight=2.0, intrinsic_weight=0.5)
GAE = LearnerSettings(estimator="gae", objective="ppo", trace_decay=0.8, rnd=WEIGHTS)
VTRACE = LearnerSettings(trace_decay=0.8, rho_clip=1.2, pg_rho_clip=1.1, rnd=WEIGHTS)
ESTIMATORS = pytest.mark.parametrize("settings", [GAE, VTRACE], ids=["gae", "vtrace"])


def a_sample(seed: int = 0) -> tuple[Sample, NetworkOutputs]:
    """Transitions that terminate, are cut off, or only reset, with NaN in what is then to be ignored."""
    rng = np.random.default_rng(seed)
    shape = (STEPS, COLUMNS)
    valid, terminated, truncated = rng.random(shape) > 0.3, rng.random(shape) < 0.3, rng.random(shape) < 0.2
    behaviour, reward = rng.normal(size=(*shape, ACTIONS)), rng.normal(size=shape)
    behaviour[~valid], reward[~valid] = math.nan, math.nan
    steps = {name: torch.zeros(1) for name in Trajectory._fields} | {
        "action": torch.from_numpy(rng.integers(0, ACTIONS, shape)),
        "reward": torch.from_numpy(reward), "terminated": torch.from_numpy(terminated),
        "truncated": torch.from_numpy(truncated), "valid": torch.from_numpy(valid),
        "behaviour": torch.from_numpy(behaviour),
    }  # fmt: skip
    bonuses = Bonuses(torch.from_numpy(rng.random(shape)), torch.zeros(*shape, 1))
    sample = Sample(Trajectory(**steps), torch.zeros(COLUMNS, dtype=torch.bool), bonuses=bonuses)
    params = torch.from_numpy(rng.normal(size=(*shape, ACTIONS)))
    values, intrinsic = torch.from_numpy(rng.normal(size=(2, STEPS + 1, COLUMNS)))
    distribution, action = Categorical(ACTIONS), sample.steps.action
    outputs = NetworkOutputs(params, values, intrinsic, distribution.log_prob(params, action),
                            distribution.log_prob(sample.steps.behaviour, action), None)  # fmt: skip
    return sample, outputs


def returns_of(sample: Sample, outputs: NetworkOutputs, settings: LearnerSettings) -> ReturnEstimates:
    return estimate_returns(outputs, sample, distribution=Categorical(ACTIONS), settings=settings)


def slow_intrinsic(sample: Sample, outputs: NetworkOutputs, settings: LearnerSettings,
                   learned: Tensor) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Targets and advantages [T, B] as sums over k of products, every transition an ordinary one."""
    bonus, values = sample.bonuses.rewards.numpy(), outputs.intrinsic_values.numpy()
    ratios = np.where(sample.steps.valid, outputs.target_log_ratios.exp(), 1.0) * learned.numpy()
    if settings.estimator == "gae":
        ratios = learned.numpy().astype(float)
    rho, c = (np.minimum(limit, ratios) for limit in (settings.rho_clip, settings.c_clip))
    discount, decay = settings.rnd.discount, settings.trace_decay
    targets = values[:-1].copy()
    for t, b in np.ndindex(STEPS, COLUMNS):
        product = 1.0
        for k in range(t, STEPS):
            targets[t, b] += product * rho[k, b] * (bonus[k, b] + discount * values[k + 1, b] - values[k, b])
            product *= discount * decay * c[k, b]
    if settings.estimator == "gae":
        return targets, targets - values[:-1]
    following = np.concatenate([targets[1:], values[-1:]])
    weights = np.minimum(settings.pg_rho_clip, ratios)
    return targets, weights * (bonus + discount * following - values[:-1])


@ESTIMATORS
@pytest.mark.parametrize("seed", range(5))
def test_they_are_those_of_a_plain_loop_and_advantages_the_weighted_sum(settings: LearnerSettings, seed: int):
    sample, outputs = a_sample(seed)
    found = returns_of(sample, outputs, settings)
    everywhere = torch.ones(STEPS, COLUMNS, dtype=torch.bool)
    targets, advantages = slow_intrinsic(sample, outputs, settings, everywhere)
    np.testing.assert_allclose(found.intrinsic.targets, targets, rtol=1e-10)
    assert found.intrinsic.valid.all()
    alone = returns_of(sample, outputs, LearnerSettings(**{**vars(settings), "rnd": None}))
    expected = torch.where(sample.steps.valid, 2.0 * alone.advantages + 0.5 * torch.from_numpy(advantages), 0.0)
    torch.testing.assert_close(found.advantages, expected)
    assert torch.equal(found.targets, alone.targets)


@ESTIMATORS
@pytest.mark.parametrize("name", ["terminated", "truncated", "valid", "reward"])
def test_intrinsic_targets_do_not_change_with_the_ends_of_episodes(settings: LearnerSettings, name: str):
    """Nor with rewards. (Where policies agree: `valid` also says on which transitions they are compared.)"""
    sample, outputs = a_sample()
    sample = sample._replace(steps=sample.steps._replace(behaviour=outputs.params))
    outputs = outputs._replace(behaviour_log_prob=outputs.log_prob)
    before = returns_of(sample, outputs, settings).intrinsic.targets
    array = getattr(sample.steps, name)
    other = torch.zeros_like(array) if name == "reward" else ~array
    changed = sample._replace(steps=sample.steps._replace(**{name: other}))
    assert torch.equal(returns_of(changed, outputs, settings).intrinsic.targets, before)


def test_without_decay_they_are_discounted_sums_to_the_end():
    """λ = 1: R_t = Σ γ^k r_{t+k} + γ^{T−t} V_T."""
    sample, outputs = a_sample()
    settings = LearnerSettings(estimator="gae", objective="ppo", trace_decay=1.0, rnd=WEIGHTS)
    found = returns_of(sample, outputs, settings).intrinsic.targets
    expected = outputs.intrinsic_values[-1]
    for t in reversed(range(STEPS)):
        expected = sample.bonuses.rewards[t] + WEIGHTS.discount * expected
        torch.testing.assert_close(found[t], expected)


def test_values_of_bonuses_learn_at_the_last_observations_of_episodes():
    """There, a transition follows that only resets."""
    sample, outputs = a_sample()
    values = outputs.intrinsic_values.clone().requires_grad_()
    found = returns_of(sample, outputs._replace(intrinsic_values=values), GAE).intrinsic
    value_loss(values=values[:-1], targets=found.targets, valid=found.valid).sum.backward()
    assert (~sample.steps.valid).any() and (values.grad[:-1][~sample.steps.valid] != 0).all()


def test_irrelevant_states_are_left_out_and_resets_stay():
    sample, outputs = a_sample(3)
    laser = Relevance("behaviour", "pi_first", 0.5)
    settings = LearnerSettings(**{**vars(VTRACE), "relevance": laser})
    near = relevant(laser, distribution=Categorical(ACTIONS), params=outputs.params,
                    behaviour=sample.steps.behaviour, rho_clip=settings.rho_clip)  # fmt: skip
    learned = (near & sample.steps.valid) | ~sample.steps.valid
    assert 0 < learned.sum() < learned.numel()
    found = returns_of(sample, outputs, settings).intrinsic
    assert torch.equal(found.valid, learned)
    targets, _ = slow_intrinsic(sample, outputs, settings, learned)
    np.testing.assert_allclose(found.targets, targets, rtol=1e-10)
