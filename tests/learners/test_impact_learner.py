"""The learner as IMPACT: a slow reference, the target network, reuse of batches, the adapted KL penalty."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from learners.circular_buffer import CircularBuffer
from learners.learner import Learner
from learners.settings import ImpactSettings
from models.actor_critic import ActorCritic
from models.build import build_actor_critic
from rl_platform.core.schedule import Schedule
from rl_platform.core.types import Batch
from tests.learners.plain_descent import CLIP, DECAY, DISCOUNT, ENTROPY, SGD, SLOWLY, VALUE_WEIGHT
from tests.learners.small_learner import (
    COLUMNS,
    ENCODERS,
    IMAGES,
    STEPS,
    VECTORS,
    acted_by,
    batch,
    hard_batch,
    learner,
    optimizer_steps,
    parameters,
)

LEARNING_RATE = 0.5


def impact(*, target_every: int = 1, target_tau: float = 1.0, kl_coefficient: float = 0.0, kl_target: float = 0.01,
           buffer_batches: int = 1, buffer_uses: int = 1, **settings: Any) -> Learner:  # fmt: skip
    kind = ImpactSettings(target_every, target_tau, kl_coefficient, kl_target, buffer_batches, buffer_uses)
    return learner(objective="impact", impact=kind, **settings)


def columns_of(network: ActorCritic, made: Batch) -> tuple[Tensor, Tensor]:
    """log π [B, T+1, 2] and V [B, T+1]."""
    observation = torch.tensor(made.steps.observation).double()
    output = network(observation, torch.zeros(COLUMNS, STEPS + 1, dtype=torch.bool), torch.zeros(STEPS + 1, 0))
    return output.params.log_softmax(-1), output.values[..., 0]


def slow_vtrace(made: Batch, column: int, values: np.ndarray, ratios: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """v and A [T] of one column, as the paper writes them; invalid steps have v = V and A = 0."""
    steps, targets, advantages = made.steps, values.copy(), np.zeros(STEPS)
    for t in reversed(range(STEPS)):
        if not steps.valid[column, t]:
            continue
        discount = 0.0 if steps.terminated[column, t] else DISCOUNT
        weight, reward = min(1.0, ratios[t]), steps.reward[column, t]
        delta = weight * (reward + discount * values[t + 1] - values[t])
        targets[t] = values[t] + delta + discount * DECAY * weight * (targets[t + 1] - values[t + 1])
        advantages[t] = weight * (reward + discount * targets[t + 1] - values[t])
    return targets, advantages


def slow_update(network: ActorCritic, target: ActorCritic, made: Batch, kl_weight: float) -> None:
    """One step of gradient descent on IMPACT's mean loss, transition by transition."""
    log_p, values = columns_of(network, made)
    with torch.no_grad():
        target_log_p = columns_of(target, made)[0]
    log_mu = torch.tensor(made.steps.behaviour).double().log_softmax(-1)
    losses = []
    for column in range(COLUMNS):
        taken = np.arange(STEPS), made.steps.action[column].copy()  # torch warns of a read-only index
        target_taken, mu_taken = (each[column][taken].exp().numpy() for each in (target_log_p, log_mu))
        targets, advantages = slow_vtrace(made, column, values[column].detach().numpy(), target_taken / mu_taken)
        for t in np.flatnonzero(made.steps.valid[column]):
            of_step, of_target = log_p[column, t], target_log_p[column, t]
            ratio = of_step[made.steps.action[column, t]].exp() / max(target_taken[t], mu_taken[t] / 2)
            surrogate = torch.minimum(ratio * advantages[t], ratio.clamp(1 - CLIP, 1 + CLIP) * advantages[t])
            value = 0.5 * (targets[t] - values[column, t]).square()
            entropy, kl = -(of_step.exp() * of_step).sum(), (of_target.exp() * (of_target - of_step)).sum()
            losses.append(-surrogate + VALUE_WEIGHT * value - ENTROPY * entropy + kl_weight * kl)
    gradients = torch.autograd.grad(torch.stack(losses).mean(), list(network.parameters()))
    with torch.no_grad():
        for parameter, gradient in zip(network.parameters(), gradients, strict=True):
            parameter -= LEARNING_RATE * gradient


def test_updates_are_those_of_a_loop_over_transitions():
    """A target network that is copied after the second and the fourth update, and a penalty that adapts."""
    network, target = (build_actor_critic(VECTORS, encoder=ENCODERS[VECTORS], seed=1).double() for _ in range(2))
    learning = impact(target_every=2, kl_coefficient=2.0, kl_target=1e-4, learning_rate=Schedule(LEARNING_RATE),
                      **SLOWLY)  # fmt: skip
    clip_shares = []
    for seed in range(5):
        metrics = learning.update(hard_batch(seed)).metrics
        clip_shares.append(metrics["clip_share"])
        slow_update(network, target, hard_batch(seed), metrics["kl_coefficient"])
        if seed % 2 == 1:
            target.load_state_dict(network.state_dict())
    expected = np.concatenate([parameter.detach().numpy().ravel() for parameter in network.parameters()])
    np.testing.assert_allclose(parameters(learning), expected, rtol=0, atol=1e-11)
    assert 0 < max(clip_shares) < 1


def test_on_policy_it_is_the_plain_policy_gradient():
    """π = π̃ = μ: the ratio is 1, its gradient ∇ log π, and V-trace's weights are 1."""
    settings = {"dtype": torch.float64, "optimizer": SGD, "learning_rate": Schedule(1e-2)}
    start = learner(**settings)
    made = acted_by(start, hard_batch())
    gradient, surrogate = learner(**settings), impact(**settings)
    for learning in (gradient, surrogate):
        metrics = learning.update(made).metrics
    assert metrics["clip_share"] == 0
    assert metrics["ratio_mean"] == pytest.approx(1, abs=1e-6)
    moved = np.abs(parameters(gradient) - parameters(start)).max()
    assert np.abs(parameters(gradient) - parameters(surrogate)).max() < 1e-5 * moved  # μ is in float32


@pytest.mark.parametrize("spec", [VECTORS, IMAGES])
def test_the_target_network_follows_every_few_updates(spec: Any):
    """θ̃ ← θ̃ + τ (θ − θ̃) after every second update, parameter by parameter."""
    learning = impact(spec=spec, target_every=2, target_tau=0.25)
    first = learning.state_dict()["model"]
    learning.update(batch(spec))
    held = learning.state_dict()["target"]
    assert all(np.array_equal(held[name], first[name]) for name in first)
    assert not np.array_equal(parameters(learning), np.concatenate([array.ravel() for array in first.values()]))
    learning.update(batch(spec, 1))
    state = learning.state_dict()
    for name, array in state["target"].items():
        np.testing.assert_allclose(array, 0.75 * first[name] + 0.25 * state["model"][name], rtol=0, atol=1e-6)


def test_the_target_network_can_be_a_copy():
    learning = impact(target_tau=1.0)
    for seed in range(3):
        learning.update(hard_batch(seed))
        state = learning.state_dict()
        assert all(np.array_equal(array, state["model"][name]) for name, array in state["target"].items())


@pytest.mark.parametrize(("batches", "uses"), [(1, 1), (1, 3), (3, 2), (4, 3)])
def test_batches_are_reused_and_counted_once(batches: int, uses: int):
    """One gradient step a serving; env steps are committed with the new batch alone."""
    learning, buffer = impact(buffer_batches=batches, buffer_uses=uses), CircularBuffer(batches, uses)
    served = 0
    for seed in range(8):
        now = buffer.push(seed)
        served += len(now)
        info = learning.update(hard_batch(seed))
        assert optimizer_steps(learning) == served
        assert info.env_steps == sum(hard_batch(each).env_steps for each in range(seed + 1))
        assert (info.version, info.columns_dropped) == (seed + 1, 3)
        assert info.metrics["batch_uses_mean"] == pytest.approx(np.mean([used + 1 for _, used in now]))
    assert (served > 8) == (uses > 1)


def test_a_batch_served_again_is_trained_on_again():
    """Capacity 1 and two uses: the same weights as two epochs over each batch."""
    reusing, repeating = impact(buffer_uses=2), impact(epochs=2)
    for seed in range(3):
        reusing.update(hard_batch(seed))
        repeating.update(hard_batch(seed))
    assert parameters(reusing).tobytes() == parameters(repeating).tobytes()


def test_a_missing_batch_takes_its_turn_in_the_buffer():
    """It is served as nothing, and the others as often as without it: ranks without a batch stay in step."""
    learning = impact(buffer_batches=2, buffer_uses=2)
    buffer = CircularBuffer(2, 2)
    expected = 0
    for made in (hard_batch(0), None, hard_batch(1), None, None, hard_batch(2)):
        expected += sum(item is not None for item, _ in buffer.push(made))
        learning.update(made)
        assert optimizer_steps(learning) == expected


def test_the_penalty_adapts_to_the_divergence():
    """Times 1.5 after an update whose KL was more than twice the target, halved after less than half of it."""
    grows, shrinks = (impact(target_every=100, kl_coefficient=0.5, kl_target=target) for target in (1e-12, 1e3))
    coefficients = {"grows": [], "shrinks": []}
    for seed in range(4):
        for name, learning in (("grows", grows), ("shrinks", shrinks)):
            metrics = learning.update(hard_batch(seed)).metrics
            assert metrics["loss/target_kl"] == pytest.approx(
                metrics["kl_coefficient"] * metrics["target_kl"] * hard_batch(seed).steps.valid.sum(), rel=1e-4
            )
            coefficients[name].append(metrics["kl_coefficient"])
    assert coefficients["shrinks"] == [0.5, 0.25, 0.125, 0.0625]
    assert coefficients["grows"] == [0.5, 0.25, 0.375, 0.5625]  # nothing had moved before the first update: KL 0
    assert grows.state_dict()["target_kl"] == {"coefficient": pytest.approx(0.84375)}


def test_the_penalty_holds_the_policy_near_the_target_policy():
    """Which stays the first one, as good as uniform, like the policy that acts."""
    divergences = []
    for weight in (0.0, 1.0):
        learning = impact(target_every=1000, kl_coefficient=weight, kl_target=1e-3, ratio_clip=0.9)
        for seed in range(40):
            metrics = learning.update(batch(seed=seed)).metrics
        divergences.append(metrics["kl_behaviour"])
    assert divergences[1] < 0.1 * divergences[0]


@pytest.mark.parametrize("settings", [{"kl_coefficient": 0.5}, {"target_every": 2}, {"target_tau": 0.5}])
def test_every_setting_matters(settings: dict[str, Any]):
    changed, plain = impact(**settings), impact()
    for seed in range(3):
        changed.update(hard_batch(seed))
        plain.update(hard_batch(seed))
    assert not np.array_equal(parameters(changed), parameters(plain))
