"""V-trace, PPO and IMPACT with continuous actions: updates beside loops over transitions, with PyTorch's own normal."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from learners.settings import ImpactSettings
from models.actor_critic import ActorCritic
from models.build import build_actor_critic
from rl_platform.core.schedule import Schedule
from rl_platform.core.types import Batch
from tests.learners.plain_descent import CLIP, DECAY, DISCOUNT, ENTROPY, SLOWLY, VALUE_WEIGHT
from tests.learners.small_learner import COLUMNS, CONTINUOUS, ENCODERS, STEPS, hard_batch, learner, parameters

LEARNING_RATE = 0.1
SETTINGS: dict[str, dict[str, Any]] = {
    "vtrace": {},
    "ppo": {"objective": "ppo", "estimator": "gae"},
    "impact": {"objective": "impact", "impact": ImpactSettings(target_every=2)},
}


def moves(seed: int) -> Batch:
    """Episodes that terminate, are truncated and reset, with one number as the action."""
    made, rng = hard_batch(seed), np.random.default_rng(seed)
    action = rng.normal(size=(COLUMNS, STEPS, 1)).astype(np.float32)
    behaviour = 0.3 * made.steps.behaviour  # near the policy: some ratios are clipped, not all
    steps = made.steps._replace(action=action, previous_action=action[:, 0], behaviour=behaviour)
    return made._replace(steps=steps)


def normal(params: Tensor) -> Independent:
    mean, log_std = params.chunk(2, dim=-1)
    return Independent(Normal(mean, log_std.exp()), 1)


def columns_of(network: ActorCritic, made: Batch) -> tuple[Tensor, Tensor]:
    """Parameters [B, T+1, 2] and V [B, T+1]."""
    observation = torch.tensor(made.steps.observation).double()
    output = network(observation, torch.zeros(COLUMNS, STEPS + 1, dtype=torch.bool), torch.zeros(STEPS + 1, 0))
    return output.params, output.values[..., 0]


def slow_returns(made: Batch, column: int, values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """v, and the sums of δ [T] that lead to it, of one column; V-trace has weights min(1, w), GAE 1."""
    steps, targets = made.steps, values.copy()
    for t in reversed(range(STEPS)):
        if steps.valid[column, t]:
            discount = 0.0 if steps.terminated[column, t] else DISCOUNT
            delta = weights[t] * (steps.reward[column, t] + discount * values[t + 1] - values[t])
            targets[t] += delta + discount * DECAY * weights[t] * (targets[t + 1] - values[t + 1])
    return targets, targets[:-1] - values[:-1]


def slow_losses(objective: str, network: ActorCritic, target: ActorCritic, made: Batch) -> list[Tensor]:
    """One transition after the other, from the definitions."""
    steps, (params, values) = made.steps, columns_of(network, made)
    evaluated = columns_of(target if objective == "impact" else network, made)[0].detach()
    losses = []
    for column in range(COLUMNS):
        own_values = values[column].detach().numpy()
        action = torch.tensor(steps.action[column]).double()
        log_mu = normal(torch.nan_to_num(torch.tensor(steps.behaviour[column]).double())).log_prob(action)
        log_target = normal(evaluated[column, :-1]).log_prob(action)
        weights = np.minimum(1.0, (log_target - log_mu).exp().numpy())
        targets, gains = slow_returns(made, column, own_values, np.ones(STEPS) if objective == "ppo" else weights)
        for t in np.flatnonzero(steps.valid[column]):
            policy = normal(params[column, t])
            log_prob = policy.log_prob(action[t])
            discount = 0.0 if steps.terminated[column, t] else DISCOUNT
            one_step = weights[t] * (steps.reward[column, t] + discount * targets[t + 1] - own_values[t])
            gain = gains[t] if objective == "ppo" else one_step
            base = torch.maximum(log_target[t], log_mu[t] + np.log(0.5)) if objective == "impact" else log_mu[t]
            ratio = (log_prob - base).exp()
            surrogate = torch.minimum(ratio * gain, ratio.clamp(1 - CLIP, 1 + CLIP) * gain)
            error = 0.5 * (targets[t] - values[column, t]).square()
            gained = log_prob * gain if objective == "vtrace" else surrogate
            losses.append(-gained + VALUE_WEIGHT * error - ENTROPY * policy.entropy())
    return losses


@pytest.mark.parametrize("objective", SETTINGS)
def test_updates_are_those_of_a_loop_over_transitions(objective: str):
    """IMPACT's target network is copied after the second update."""
    network, target = (build_actor_critic(CONTINUOUS, encoder=ENCODERS[CONTINUOUS], seed=1).double() for _ in range(2))
    learning = learner(CONTINUOUS, learning_rate=Schedule(LEARNING_RATE), **SETTINGS[objective], **SLOWLY)
    before = parameters(learning)
    for seed in range(4):
        learning.update(moves(seed))
        loss = torch.stack(slow_losses(objective, network, target, moves(seed))).mean()
        gradients = torch.autograd.grad(loss, list(network.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(network.parameters(), gradients, strict=True):
                parameter -= LEARNING_RATE * gradient
        if seed % 2 == 1:
            target.load_state_dict(network.state_dict())
    expected = np.concatenate([parameter.detach().numpy().ravel() for parameter in network.parameters()])
    np.testing.assert_allclose(parameters(learning), expected, rtol=0, atol=1e-11)
    assert np.abs(parameters(learning) - before).max() > 1e-3


@pytest.mark.parametrize("objective", SETTINGS)
def test_a_target_is_found(objective: str):
    """The reward is highest at 1.5: the mean goes there and the deviation shrinks."""
    learning = learner(CONTINUOUS, learning_rate=Schedule(3e-3), entropy=0.0, reduction="mean", **SETTINGS[objective])
    rng = np.random.default_rng(0)
    network = build_actor_critic(CONTINUOUS, encoder=ENCODERS[CONTINUOUS], seed=1)
    for seed in range(400):
        network.load_state_dict({name: torch.tensor(array) for name, array in learning.state_dict()["model"].items()})
        made = hard_batch(seed)
        with torch.no_grad():
            behaviour = columns_of(network.double(), made)[0][:, :-1].float().numpy()
        network.float()
        action = behaviour[..., :1] + np.exp(behaviour[..., 1:]) * rng.normal(size=(COLUMNS, STEPS, 1))
        reward = -np.square(action[..., 0] - 1.5)
        steps = made.steps._replace(action=action.astype(np.float32), previous_action=action[:, 0].astype(np.float32),
                                    behaviour=behaviour, reward=reward.astype(np.float32),
                                    terminated=np.ones((COLUMNS, STEPS), bool))  # fmt: skip
        learning.update(made._replace(steps=steps))
    assert np.abs(behaviour[..., 0] - 1.5).mean() < 0.3
    assert behaviour[..., 1].mean() < -0.1
