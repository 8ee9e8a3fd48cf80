"""Flat parameters of a real network."""

import numpy as np
import pytest
import torch

from models.build import build_actor_critic
from rl_platform.core.flat import FlatParameters
from rl_platform.core.spec import ActionSpec, EnvSpec

SPEC = EnvSpec("test", (4, 36, 36), "uint8", ActionSpec("categorical", 3))


def model(seed: int) -> torch.nn.Module:
    return build_actor_critic(SPEC, encoder={"kind": "nature_cnn", "embedding": 8}, seed=seed)


def test_parameters_keep_values_and_memory_format_and_share_the_vector():
    plain, flattened = model(0), model(0)
    flat = FlatParameters(flattened)
    for before, after in zip(plain.parameters(), flattened.parameters(), strict=True):
        assert torch.equal(before, after)
        assert before.stride() == after.stride()
    flat.vector.fill_(2.0)
    assert all((parameter == 2).all() for parameter in flattened.parameters())


def test_backward_fills_the_flat_gradient():
    plain, flattened = model(0), model(0)
    flat = FlatParameters(flattened)
    gradient = torch.zeros_like(flat.vector)
    flat.send_gradients_to(gradient)
    observation = torch.randint(0, 256, (2, 1, *SPEC.observation_shape), dtype=torch.uint8)
    for network in (plain, flattened):
        output = network(observation, torch.zeros(2, 1, dtype=torch.bool), torch.zeros(1, 0))
        (output.params.square().sum() + output.values.square().sum()).backward()
    expected = torch.linalg.vector_norm(torch.stack([p.grad.norm() for p in plain.parameters()]))
    torch.testing.assert_close(gradient.norm(), expected)
    for before, after in zip(plain.parameters(), flattened.parameters(), strict=True):
        torch.testing.assert_close(before.grad, after.grad)
        assert after.grad.untyped_storage().data_ptr() == gradient.untyped_storage().data_ptr()


def test_gradients_of_two_losses_can_be_kept_apart():
    network = model(0)
    flat = FlatParameters(network)
    main, auxiliary = torch.zeros(2, len(flat.vector))
    for loss_scale, gradient in ((1.0, main), (-2.0, auxiliary)):
        flat.send_gradients_to(gradient)
        (loss_scale * sum(parameter.square().sum() for parameter in network.parameters())).backward()
    torch.testing.assert_close(main, 2 * flat.vector)
    torch.testing.assert_close(auxiliary, -2 * main)


def test_the_vector_has_the_parameters_dtype_and_weights_travel_in_float32():
    network = model(0).double()
    flat = FlatParameters(network)
    assert flat.vector.dtype == torch.float64
    assert flat.numpy().dtype == np.float32
    flat.load(FlatParameters(model(1)).numpy())
    torch.testing.assert_close(network.policy.weight, model(1).policy.weight.double())


@pytest.mark.filterwarnings("error")
def test_load_takes_a_read_only_vector_and_copies_it():
    source, target = FlatParameters(model(0)), FlatParameters(model(1))
    vector = source.numpy()
    vector.flags.writeable = False
    target.load(vector)
    assert torch.equal(target.vector, source.vector)
    target.vector.zero_()
    assert np.array_equal(vector, source.numpy())


@pytest.mark.parametrize("change", [-1, 1])
def test_load_refuses_another_networks_vector(change: int):
    flat = FlatParameters(model(0))
    with pytest.raises(ValueError, match="do not fit a network with"):
        flat.load(np.zeros(len(flat.vector) + change, np.float32))
