"""The policy of a rollout worker: what it says, takes over and remembers."""

import gc
import weakref
from typing import Any

import numpy as np
import pytest
import torch

from actors.policy import TorchPolicy
from models.build import build_actor_critic
from rl_platform.core.distributions import Categorical, distribution_of
from rl_platform.core.flat import FlatParameters
from rl_platform.core.spec import ActionSpec, EnvSpec
from rl_platform.core.types import Weights

SPEC = EnvSpec("test", (4, 84, 84), "uint8", ActionSpec("categorical", 6))
ENCODER = {"kind": "nature_cnn", "embedding": 64}
NUM_ENVS = 8


def model(seed: int) -> torch.nn.Module:
    return build_actor_critic(SPEC, encoder=ENCODER, seed=seed)


def weights(seed: int, version: int) -> Weights:
    """Weights whose policy is far from uniform."""
    network = model(seed)
    torch.nn.init.orthogonal_(network.policy.weight, 5.0, generator=torch.Generator().manual_seed(seed))
    return Weights(version, FlatParameters(network).numpy())


def policy(*, precision: torch.dtype = torch.float32, seed: int = 0, **settings: Any) -> TorchPolicy:
    return TorchPolicy(model(99), Categorical(6), torch.Generator().manual_seed(seed), precision=precision, **settings)


def observations() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (NUM_ENVS, *SPEC.observation_shape), np.uint8)


def act(acting: TorchPolicy, observation: np.ndarray, greedy: bool = False):
    return acting.act(observation, np.zeros(NUM_ENVS, bool), acting.initial_memory(NUM_ENVS), greedy)


def test_step_has_the_stated_shapes_and_dtypes():
    acting = policy()
    acting.load(weights(1, 0))
    step = act(acting, observations())
    assert [(array.shape, array.dtype.name) for array in step] == [
        ((NUM_ENVS,), "int64"),
        ((NUM_ENVS, 6), "float32"),
        ((NUM_ENVS, 1), "float32"),
        ((NUM_ENVS, 0), "float16"),
        ((NUM_ENVS, 0), "float32"),
    ]


def test_features_are_made_from_the_embedding():
    acting = policy(features=lambda embedding: embedding[:, :3].half())
    acting.load(weights(1, 0))
    step = act(acting, observations())
    assert (step.features.shape, step.features.dtype.name) == ((NUM_ENVS, 3), "float16")
    assert np.ptp(step.features) > 0


def test_a_step_keeps_none_of_the_steps_before_alive():
    acting = policy()
    acting.load(weights(1, 0))
    memory = acting.initial_memory(NUM_ENVS)
    first = weakref.ref(memory)
    for _ in range(2):
        memory = acting.act(observations(), np.zeros(NUM_ENVS, bool), memory).memory
    gc.collect()
    assert first() is None


def test_bf16_stays_close_to_fp32():
    """Three significant digits of the logits' and values' range, over an encoder of four layers."""
    exact, fast = policy(), policy(precision=torch.bfloat16)
    for acting in (exact, fast):
        acting.load(weights(1, 0))
    expected, step = act(exact, observations(), greedy=True), act(fast, observations(), greedy=True)
    assert not np.array_equal(step.behaviour, expected.behaviour)
    np.testing.assert_allclose(step.behaviour, expected.behaviour, rtol=0, atol=0.02 * np.ptp(expected.behaviour))
    np.testing.assert_allclose(step.value, expected.value, rtol=0, atol=0.02 * np.abs(expected.value).max())


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_new_versions_are_taken_over_and_the_present_one_is_not_read_again(precision: torch.dtype):
    acting = policy(precision=precision)
    acting.load(weights(1, 0))
    first = act(acting, observations()).behaviour
    acting.load(weights(2, 0))
    assert np.array_equal(act(acting, observations()).behaviour, first)
    acting.load(weights(2, 1))
    assert acting.version == 1
    assert not np.array_equal(act(acting, observations()).behaviour, first)


def test_sampled_actions_follow_the_behaviour_probabilities():
    acting = policy()
    acting.load(weights(1, 0))
    observation = np.repeat(observations()[:1], NUM_ENVS, axis=0)
    steps = [act(acting, observation) for _ in range(500)]
    frequencies = np.bincount(np.concatenate([step.action for step in steps]), minlength=6) / (500 * NUM_ENVS)
    probabilities = np.exp(steps[0].behaviour[0].astype(float))
    np.testing.assert_allclose(frequencies, probabilities / probabilities.sum(), atol=0.04)  # 5 standard errors
    assert set(act(acting, observation, greedy=True).action) == {int(steps[0].behaviour[0].argmax())}


def test_the_generator_alone_decides_what_is_sampled():
    first, same, other = (policy(seed=seed) for seed in (1, 1, 2))
    for acting in (first, same, other):
        acting.load(Weights(0, FlatParameters(model(1)).numpy()))  # near uniform: actions show the random numbers
    drawn = [[act(acting, observations()).action for _ in range(5)] for acting in (first, same, other)]
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


@pytest.mark.filterwarnings("error")
def test_observations_may_be_read_only_or_strided():
    acting = policy()
    acting.load(weights(1, 0))
    expected = act(acting, observations(), greedy=True).behaviour
    read_only, flipped = observations(), observations()[::-1].copy()[::-1]
    read_only.flags.writeable = False
    for observation in (read_only, flipped):
        assert np.array_equal(act(acting, observation, greedy=True).behaviour, expected)


def test_numbers_are_drawn_about_the_mean_and_the_mode_is_the_mean():
    spec = EnvSpec("test", (3,), "float32", ActionSpec("gaussian", 2, low=(-1.0, -1.0), high=(1.0, 1.0)))
    network = build_actor_critic(spec, encoder={"kind": "mlp", "hidden": (8,)}, seed=0)
    acting = TorchPolicy(network, distribution_of(spec.action), torch.Generator().manual_seed(0),
                         precision=torch.float32)  # fmt: skip
    observation, draws = np.ones((4000, 3), np.float32), (4000, 2)
    first, memory = np.zeros(4000, bool), acting.initial_memory(4000)
    drawn, best = (acting.act(observation, first, memory, greedy=greedy) for greedy in (False, True))
    assert [(array.shape, array.dtype.name) for array in drawn[:2]] == [(draws, "float32"), ((4000, 4), "float32")]
    np.testing.assert_array_equal(best.action, best.behaviour[:, :2])
    np.testing.assert_allclose(drawn.action.mean(0), best.action[0], atol=4 / 4000**0.5)
    np.testing.assert_allclose(drawn.action.std(0), 1.0, atol=4 / 8000**0.5)
    assert np.abs(drawn.action).max() > 2  # bounds are the environment's affair
