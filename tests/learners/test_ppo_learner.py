"""The learner as PPO: a slow reference of whole updates, its limit, ratios, minibatches."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from learners.learner import Learner
from learners.minibatches import minibatches
from learners.sample import ReturnEstimates, Sample, as_transitions, in_columns, with_returns
from learners.settings import LearnerSettings
from models.actor_critic import ActorCritic, ModelOutput
from models.build import build_actor_critic
from rl_platform.core.distributions import Categorical
from rl_platform.core.frames import stack_frames
from rl_platform.core.schedule import Schedule
from rl_platform.core.types import PER_COLUMN, Batch, Trajectory
from tests.learners.plain_descent import CLIP, DECAY, DISCOUNT, ENTROPY, SGD, SLOWLY, VALUE_WEIGHT
from tests.learners.small_learner import (
    COLUMNS,
    ENCODERS,
    IMAGES,
    STEPS,
    VECTORS,
    acted_by,
    batch,
    changed,
    hard_batch,
    learner,
    optimizer_steps,
    parameters,
    plain,
)

GAE = {"estimator": "gae", "objective": "ppo"}
LEARNING_RATE = 0.5


def transitions(made: Batch) -> list[tuple[int, int]]:
    return [(column, t) for column in range(COLUMNS) for t in range(STEPS) if made.steps.valid[column, t]]


def slow_gae(made: Batch, values: np.ndarray) -> dict[tuple[int, int], float]:
    """Advantages of valid transitions by (column, t): A_t = Σ_k (γλ)^k δ_{t+k} up to an end, from values [B, T+1]."""
    steps = made.steps
    advantages = {}
    for column, t in transitions(made):
        weight, k, total = 1.0, t, 0.0
        while k < STEPS and steps.valid[column, k]:
            discount = 0.0 if steps.terminated[column, k] else DISCOUNT
            total += weight * (steps.reward[column, k] + discount * values[column, k + 1] - values[column, k])
            weight, k = weight * discount * DECAY, k + 1
        advantages[column, t] = total
    return advantages


def slow_losses(network: ActorCritic, made: Batch, advantages: dict[tuple[int, int], float],
                targets: dict[tuple[int, int], float]) -> list[Tensor]:  # fmt: skip
    """One transition after the other, from the definitions of PPO's terms."""
    losses = []
    for column, t in transitions(made):
        observation = torch.tensor(made.steps.observation[column, t]).double()
        output = network(observation[None, None], torch.zeros(1, 1, dtype=torch.bool), torch.zeros(1, 0))
        log_p = output.params[0, 0].log_softmax(0)
        old = torch.tensor(made.steps.behaviour[column, t]).double().log_softmax(0)
        action, advantage = made.steps.action[column, t], advantages[column, t]
        ratio = (log_p[action] - old[action]).exp()
        surrogate = torch.minimum(ratio * advantage, ratio.clamp(1 - CLIP, 1 + CLIP) * advantage)
        error, entropy = targets[column, t] - output.values[0, 0, 0], -(log_p.exp() * log_p).sum()
        losses.append(-surrogate + VALUE_WEIGHT * 0.5 * error.square() - ENTROPY * entropy)
    return losses


def slow_update(network: ActorCritic, made: Batch, *, epochs: int, normalize: bool) -> None:
    """Gradient descent on the mean loss, with advantages and targets of the weights before."""
    with torch.no_grad():
        observation = torch.tensor(made.steps.observation).double()
        values = network(observation, torch.zeros(COLUMNS, STEPS + 1, dtype=torch.bool), torch.zeros(STEPS + 1, 0))
        values = values.values[..., 0].numpy()
    advantages = slow_gae(made, values)
    targets = {at: advantage + values[at] for at, advantage in advantages.items()}
    if normalize:
        mean, std = np.mean([*advantages.values()]), np.std([*advantages.values()])
        advantages = {at: (advantage - mean) / (std + 1e-8) for at, advantage in advantages.items()}
    for _ in range(epochs):
        loss = torch.stack(slow_losses(network, made, advantages, targets)).mean()
        gradients = torch.autograd.grad(loss, list(network.parameters()))
        assert math.sqrt(sum(gradient.square().sum() for gradient in gradients)) < 40  # it is not clipped
        with torch.no_grad():
            for parameter, gradient in zip(network.parameters(), gradients, strict=True):
                parameter -= LEARNING_RATE * gradient


@pytest.mark.parametrize("normalize", [False, True])
def test_updates_are_those_of_a_loop_over_transitions(normalize: bool):
    """Episodes end, are cut and reset with NaN; three epochs, so that ratios leave 1 and some are clipped."""
    network = build_actor_critic(VECTORS, encoder=ENCODERS[VECTORS], seed=1).double()
    learning = learner(learning_rate=Schedule(LEARNING_RATE), epochs=3, normalize_advantages=normalize, **GAE, **SLOWLY)
    clip_shares = []
    for seed in range(3):
        clip_shares.append(learning.update(hard_batch(seed)).metrics["clip_share"])
        slow_update(network, hard_batch(seed), epochs=3, normalize=normalize)
    expected = np.concatenate([parameter.detach().numpy().ravel() for parameter in network.parameters()])
    np.testing.assert_allclose(parameters(learning), expected, rtol=0, atol=1e-11)
    assert 0 < max(clip_shares) < 1


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_one_step_on_policy_without_a_trace_cut_is_the_plain_policy_gradient(reduction: str):
    """With π = μ, λ = 1 and a clip that never binds: ∇r A = ∇ log π A, and GAE's advantages are V-trace's."""
    settings = {"dtype": torch.float64, "optimizer": SGD, "reduction": reduction, "learning_rate": Schedule(1e-2)}
    start = learner(**settings)
    made = acted_by(start, hard_batch())
    gradient, surrogate = learner(**settings), learner(**settings, ratio_clip=0.99, **GAE)
    for learning in (gradient, surrogate):
        learning.update(made)
    moved = np.abs(parameters(gradient) - parameters(start)).max()
    assert np.abs(parameters(gradient) - parameters(surrogate)).max() < 1e-5 * moved  # μ is in float32


@pytest.mark.parametrize("estimator", ["gae", "vtrace"])
def test_ratios_begin_at_one(estimator: str):
    """Without a lag, in every minibatch as long as nothing has moved; and in the first one, whatever moves after."""
    settings = {"objective": "ppo", "estimator": estimator}
    still = learner(learning_rate=Schedule(0.0), epochs=2, minibatches=3, **settings)
    metrics = still.update(acted_by(still, hard_batch())).metrics
    assert metrics["clip_share"] == 0
    assert metrics["ratio_mean"] == pytest.approx(1, abs=1e-5)
    moving = learner(optimizer=SGD, learning_rate=Schedule(1.0), **settings)
    for seed in range(3):
        metrics = moving.update(acted_by(moving, hard_batch(seed))).metrics
        assert metrics["clip_share"] == 0
        assert metrics["ratio_mean"] == pytest.approx(1, abs=1e-5)
    repeated = learner(optimizer=SGD, learning_rate=Schedule(1.0), epochs=4, **settings)
    assert repeated.update(acted_by(repeated, hard_batch())).metrics["ratio_mean"] != pytest.approx(1, abs=1e-5)


def test_vtrace_corrects_targets_but_leaves_the_ratio_to_the_surrogate():
    """The advantages that enter are those of V-trace without ρ: as large for actions that μ overdid."""
    still = {"learning_rate": Schedule(0.0), "discount": 0.0}  # then A = r − V, whatever the ratios
    corrected = learner(objective="ppo", **still).update(hard_batch()).metrics["advantage_abs_mean"]
    uncorrected = learner(**GAE, **still).update(hard_batch()).metrics["advantage_abs_mean"]
    weighted = learner(**still).update(hard_batch()).metrics["advantage_abs_mean"]
    assert corrected == pytest.approx(uncorrected, rel=1e-6)
    assert weighted < 0.9 * corrected


def test_every_transition_is_dealt_once_in_each_epoch():
    sample = Sample(numbered(steps=4, columns=5), torch.arange(5) % 2 == 0)
    returns = ReturnEstimates(sample.steps.reward, sample.steps.reward, sample.steps.valid)
    single = as_transitions(with_returns(sample, returns))
    deal = list(minibatches(single, epochs=3, count=3, generator=torch.Generator().manual_seed(0)))
    orders = [torch.cat([part.steps.action[0] for part in deal[3 * epoch : 3 * epoch + 3]]) for epoch in range(3)]
    assert [sorted(order.tolist()) for order in orders] == [list(range(20))] * 3
    assert not torch.equal(orders[0], orders[1])
    for part in deal:
        number = part.steps.action[0]
        assert part.steps.observation.shape == (1, len(number), 2)
        assert torch.equal(part.steps.observation[0, :, 0], number)  # everything goes along
        assert torch.equal(part.returns.targets[0], number)
        assert torch.equal(part.steps.task, number % 5)  # row-major: [T, B]
        assert torch.equal(part.replayed, number % 5 % 2 == 0)


def test_images_stay_channels_last():
    """As convolutions want them: a minibatch that is not costs a sixth of a gradient step."""
    steps = numbered(steps=4, columns=5)
    stacks = stack_frames(torch.zeros(8, 5, 6, 7), torch.zeros(5, 5, dtype=torch.bool), 4)
    sample = Sample(steps._replace(observation=stacks), torch.zeros(5, dtype=torch.bool))
    returns = ReturnEstimates(steps.reward, steps.reward, steps.valid)
    whole, single = list(in_columns(sample, 100)), as_transitions(with_returns(sample, returns))
    assert [part.steps.observation.data_ptr() for part in whole] == [stacks.data_ptr()]  # nothing to cut, no copy
    parts = [*in_columns(sample, 10), *minibatches(single, epochs=1, count=3, generator=torch.Generator())]
    assert len(parts) == 6
    for part in parts:
        images = part.steps.observation.flatten(0, 1)
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert not images.is_contiguous()


def test_columns_stay_whole_where_they_must():
    sample = Sample(numbered(steps=4, columns=5), torch.arange(5) % 2 == 0)
    deal = list(minibatches(sample, epochs=1, count=2, generator=torch.Generator().manual_seed(0)))
    assert [part.steps.observation.shape for part in deal] == [(5, 3, 2), (5, 2, 2)]
    for part in deal:
        assert (part.steps.action % 5 == part.steps.task).all()
        assert (part.steps.action // 5 == torch.arange(4)[:, None]).all()
    assert sorted(torch.cat([part.steps.task for part in deal]).tolist()) == list(range(5))


def test_ranks_stay_in_step_whatever_they_have():
    """As many minibatches without a sample, or with fewer columns than minibatches."""
    few = Sample(numbered(steps=4, columns=2), torch.zeros(2, dtype=torch.bool))
    for sample, filled in ((None, 0), (few, 2 * 2)):
        deal = list(minibatches(sample, epochs=2, count=3, generator=torch.Generator().manual_seed(0)))
        assert len(deal) == 6
        assert sum(part is not None for part in deal) == filled


def numbered(*, steps: int, columns: int) -> Trajectory:
    """Transition (t, b) has the number t · B + b, in its action, reward and observation; column b is task b."""
    number = torch.arange((steps + 1) * columns).view(steps + 1, columns)
    made = dict.fromkeys(set(Trajectory._fields) - PER_COLUMN, number[:steps])
    made |= {name: torch.arange(columns) for name in PER_COLUMN}
    made |= {"observation": torch.stack([number] * 2, -1), "is_first": number == 0, "valid": number[:steps] >= 0}
    return Trajectory(**made)


class Recurrent(nn.Module):
    """Remembers what it saw since the episode began."""

    memory_size = 4
    normalizer = None

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.see, self.policy, self.value = nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(4, 1)

    def forward(self, observation: Tensor, is_first: Tensor, memory: Tensor) -> ModelOutput:
        states = []
        for seen, first in zip(observation, is_first, strict=True):
            memory = torch.tanh(self.see(seen) + torch.where(first[:, None], 0.0, memory))
            states.append(memory)
        state = torch.stack(states)
        return ModelOutput(self.policy(state), self.value(state), state, memory)


def test_networks_with_memory_see_whole_columns():
    """Ratios are 1 in every minibatch, as they would not be for transitions torn from their past."""
    made = batch(memory=np.random.default_rng(0).normal(size=(COLUMNS, 4)).astype(np.float32))
    steps = made.steps
    with torch.no_grad():
        output = Recurrent()(torch.tensor(steps.observation).swapaxes(0, 1), torch.tensor(steps.is_first).T,
                             torch.tensor(steps.memory))  # fmt: skip
    behaviour = output.params[:STEPS].swapaxes(0, 1).numpy()
    for rate, epochs in ((0.0, 2), (0.1, 1)):
        learning = Learner(Recurrent(), Categorical(2), LearnerSettings(epochs=epochs, minibatches=2, **GAE),
                           optimizer=SGD, learning_rate=Schedule(rate), entropy_weight=Schedule(0.0),
                           gradient_clip=None, frame_stack=1, precision=torch.float32)  # fmt: skip
        before = learning.weights().vector
        metrics = learning.update(made._replace(steps=steps._replace(behaviour=behaviour))).metrics
        assert (metrics["ratio_mean"] == pytest.approx(1, abs=1e-5)) == (rate == 0)
        assert np.array_equal(before, learning.weights().vector) == (rate == 0)


def test_an_update_of_many_steps_is_one_version():
    learning = learner(epochs=2, minibatches=3, **GAE)
    info = learning.update(hard_batch())
    assert optimizer_steps(learning) == 6
    assert (info.version, info.updates, info.env_steps) == (1, 1, hard_batch().env_steps)


def test_shuffling_follows_the_seed_of_the_learner():
    """Equal learners repeat; the same data shuffled otherwise gives other weights."""
    weights = []
    for _ in range(2):
        learning = learner(epochs=2, minibatches=3, **GAE)
        infos = [plain(learning.update(hard_batch())) for _ in range(2)]
        weights.append(parameters(learning))
        assert infos[0].metrics != infos[1].metrics
    assert weights[0].tobytes() == weights[1].tobytes()


@pytest.mark.parametrize("estimator", ["gae", "vtrace"])
def test_nan_at_a_valid_step_skips(estimator: str):
    learning = learner(objective="ppo", estimator=estimator, epochs=2)
    before = parameters(learning)
    info = learning.update(batch(reward=changed(batch().steps.reward, math.nan)))
    assert info.skipped
    assert learning.state_dict()["updates_skipped"] == 1  # one update, though of two steps
    assert parameters(learning).tobytes() == before.tobytes()
    assert not learning.update(batch()).skipped


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("spec", "learning_rate"), [(VECTORS, 1e-2), (IMAGES, 1e-3)])
def test_learns_a_bandit(spec: Any, learning_rate: float):
    learning = learner(spec, learning_rate=Schedule(learning_rate), epochs=2, minibatches=2, ratio_clip=0.3, **GAE)
    metrics = [learning.update(batch(spec, seed)).metrics for seed in range(40)]
    assert metrics[-1]["value_mean"] == pytest.approx(0.5, abs=0.2)
    assert metrics[-1]["clip_share"] > 0.5  # it has gone as far from the uniform policy that acts as the clip lets it
    assert metrics[-1]["kl_behaviour"] > 0.04  # KL(uniform ‖ 0.65, 0.35) = 0.047


@pytest.mark.parametrize(
    ("weight", "without"),
    [("value_weight", {"value_weight": 0.0}), ("entropy", {"entropy": 0.0}), ("reward_scale", {"reward_scale": 0.0})],
)
def test_every_weight_matters(weight: str, without: dict[str, float]):
    updated: list[np.ndarray] = []
    make: Callable[..., Any] = partial(learner, **GAE)
    for settings in ({}, without):
        learning = make(**settings)
        learning.update(hard_batch())
        updated.append(parameters(learning))
    assert not np.array_equal(*updated), weight
