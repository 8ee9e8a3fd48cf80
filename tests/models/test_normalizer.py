"""The observation normaliser: what it computes, how its moments travel, and that no optimiser moves them."""

import numpy as np
import pytest
import torch

from actors.policy import TorchPolicy
from learners.optimizer import FlatOptimizer, OptimizerFactory, adam, rmsprop
from models.actor_critic import ActorCritic
from models.build import build_actor_critic
from models.normalizer import CLIP, MIN_STD, ObservationNormalizer
from rl_platform.core.distributions import distribution_of
from rl_platform.core.flat import FlatParameters
from rl_platform.core.spec import ActionSpec, EnvSpec
from rl_platform.core.types import Weights

SPEC = EnvSpec("test", (3,), "float32", ActionSpec("gaussian", 2))
MEAN, STD = torch.tensor([5.0, -100.0, 0.25]), torch.tensor([2.0, 30.0, 0.01])
MOMENTS = {"normalizer.mean": MEAN, "normalizer.std": STD}


def model(seed: int = 0, **settings: bool) -> ActorCritic:
    settings = {"normalize_observations": True} | settings
    return build_actor_critic(SPEC, encoder={"kind": "mlp", "hidden": (8,)}, seed=seed, **settings)


def observations(times: int = 4, columns: int = 5) -> torch.Tensor:
    """[T, B, 3] in the units that the moments are of."""
    return MEAN + STD * torch.randn(times, columns, 3, generator=torch.Generator().manual_seed(0))


def outputs(network: ActorCritic, observation: torch.Tensor):
    return network(observation, torch.zeros(observation.shape[:2], dtype=torch.bool),
                   torch.zeros(observation.shape[1], 0))  # fmt: skip


def moments(network: ActorCritic) -> dict[str, bytes]:
    return {name: network.get_parameter(name).detach().numpy().tobytes() for name in MOMENTS}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.uint8])
def test_output_equals_numpy(dtype: torch.dtype):
    normalizer = ObservationNormalizer((3,))
    normalizer.set(MEAN.double(), STD.double())
    observation = (100 * torch.rand(50, 3, generator=torch.Generator().manual_seed(0))).to(dtype)
    expected = np.clip((observation.double().numpy() - MEAN.numpy()) / STD.numpy(), -10, 10)
    np.testing.assert_allclose(normalizer(observation).numpy(), expected, rtol=1e-5, atol=1e-5)
    assert (np.abs(expected) == CLIP).any() and (np.abs(expected) < CLIP).any()


def test_at_first_it_only_clips():
    observation = torch.tensor([[0.5, -3.0, 70.0]])
    assert ObservationNormalizer((3,))(observation).tolist() == [[0.5, -3.0, CLIP]]


def test_what_never_varied_is_not_divided_by_zero():
    normalizer = ObservationNormalizer((3,))
    normalizer.set(MEAN, torch.tensor([2.0, 0.0, 1e-9]))
    assert normalizer.std.tolist() == pytest.approx([2.0, MIN_STD, MIN_STD])
    assert normalizer(MEAN[None]).tolist() == [[0.0, 0.0, 0.0]]


def test_moments_of_another_shape_are_refused():
    with pytest.raises(AssertionError):
        ObservationNormalizer((3,)).set(torch.zeros(1), torch.ones(1))


@pytest.mark.parametrize("separate_value", [False, True])
def test_the_network_reads_normalised_observations(separate_value: bool):
    """Both encoders of one with the normaliser say of x what those of one without it say of (x − mean)/std."""
    network = model(separate_value=separate_value)
    plain = model(separate_value=separate_value, normalize_observations=False)
    network.normalizer.set(MEAN, STD)
    found, expected = outputs(network, observations()), outputs(plain, (observations() - MEAN) / STD)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_it_computes_in_float32_whatever_the_encoder_does():
    """1000 and 1001 are the same number in bfloat16."""
    network = model()
    network.normalizer.set(torch.full((3,), 1000.5), torch.full((3,), 0.5))
    with torch.autocast("cpu", torch.bfloat16):
        output = outputs(network, torch.tensor([1000.0, 1001.0])[:, None, None].expand(2, 1, 3))
    assert (output.embedding[0] + output.embedding[1]).abs().max() < 0.02  # tanh of ±Wx
    assert output.embedding.abs().max() > 0.1


def test_without_it_there_are_no_moments():
    assert [name for name, _ in model(normalize_observations=False).named_parameters() if "normalizer" in name] == []
    assert set(MOMENTS) == {name for name, _ in model().named_parameters() if "normalizer" in name}


def test_moments_travel_with_the_weights():
    """`set` writes into the flat vector, and a policy that loads it acts as the trained network would."""
    trained = model()
    flat = FlatParameters(trained)
    before = flat.numpy()
    trained.normalizer.set(MEAN, STD)
    assert (flat.numpy() != before).sum() == MEAN.numel() + STD.numel()
    acting = TorchPolicy(model(seed=1), distribution_of(SPEC.action), torch.Generator(), precision=torch.float32)
    acting.load(Weights(0, flat.numpy()))
    seen = observations(times=1)
    step = acting.act(seen[0].numpy(), np.zeros(5, bool), acting.initial_memory(5), greedy=True)
    expected = outputs(trained, seen).params[0].detach()
    np.testing.assert_allclose(step.behaviour, expected.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(step.action, step.behaviour[:, :2])


@pytest.mark.parametrize("optimizer", [rmsprop(momentum=0.5), adam()])
def test_no_optimiser_moves_the_moments_and_every_other_parameter_moves(optimizer: OptimizerFactory):
    network = model(separate_value=True)
    flat = FlatParameters(network)
    gradient = torch.zeros_like(flat.vector)
    flat.send_gradients_to(gradient)
    stepping = FlatOptimizer(optimizer, flat.vector, gradient)
    network.normalizer.set(MEAN, STD)
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    for _ in range(5):
        gradient.zero_()
        output = outputs(network, observations())
        (output.params.square().sum() + (output.values - 1).square().sum() + output.params.sum()).backward()
        stepping.step(1e-2)
    moved = {name for name, parameter in network.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved == set(before) - set(MOMENTS)


def test_images_are_refused():
    spec = EnvSpec("pong", (4, 84, 84), "uint8", ActionSpec("categorical", 6), frame_stack=4)
    with pytest.raises(ValueError, match=r"model.normalize_observations: pong has .*\(4, 84, 84\).*set it to false"):
        build_actor_critic(spec, encoder={"kind": "nature_cnn"}, normalize_observations=True, seed=0)
