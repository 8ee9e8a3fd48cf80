"""The networks of random network distillation."""

import pytest
import torch
from torch import Tensor, nn

from models.rnd import RndNetworks, build_rnd
from tests.models.networks import assert_orthogonal, autocast, count

SCREEN, GRID, VECTOR, MAPS, EMBEDDING = (1, 84, 84), (24, 7, 7), (5,), (64, 7, 7), (16,)
INPUTS = [(SCREEN, False), (GRID, False), (VECTOR, False), (MAPS, True), (EMBEDDING, True)]
"""Shapes of one input, and whether it is an encoder's."""
PREDICTOR = 2 * (512 * 512 + 512)
"""What it has more than the target."""


def build(shape: tuple[int, ...], of_embedding: bool, seed: int = 3) -> RndNetworks:
    return build_rnd(shape, of_embedding=of_embedding, num_outputs=24, seed=seed)


def noise(shape: tuple[int, ...], number: int = 4, seed: int = 0) -> Tensor:
    return torch.randn(number, *shape, generator=torch.Generator().manual_seed(seed))


def plain(network: nn.Module, x: Tensor) -> Tensor:
    """Layer by layer, in any memory format, for images as they are and for vectors."""
    for layer in network.convolutions:
        x = nn.functional.leaky_relu(x, 0.01) if isinstance(layer, nn.LeakyReLU) else layer(x)
    x = x.movedim(1, -1).flatten(1) if x.ndim == 4 else x
    for layer in network.linear:
        x = {nn.LeakyReLU: lambda x: x.where(x > 0, 0.01 * x), nn.ReLU: torch.relu}.get(type(layer), layer)(x)
    return x


@pytest.mark.parametrize(
    ("shape", "of_embedding", "target"),
    [
        (SCREEN, False, 1_677_984),
        (GRID, False, 3 * 3 * 24 * 16 + 16 + 3 * 3 * 16 * 32 + 32 + 3 * 3 * 32 * 512 + 512),
        (VECTOR, False, 5 * 128 + 128 + 128 * 128 + 128 + 128 * 512 + 512),
        ((2048,), True, 829_376 - PREDICTOR),
        ((448,), True, 726_976 - PREDICTOR),
        ((16,), True, 699_328 - PREDICTOR),
        (MAPS, True, 2_147_008),
    ],
)
def test_parameter_counts(shape: tuple[int, ...], of_embedding: bool, target: int):
    networks = build_rnd(shape, of_embedding=of_embedding, seed=0)
    assert (count(networks.target), count(networks.predictor)) == (target, target + PREDICTOR)


@pytest.mark.parametrize(("shape", "of_embedding"), INPUTS)
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_outputs_are_float32_of_the_stated_shape(shape: tuple[int, ...], of_embedding: bool, precision: torch.dtype):
    for network in build(shape, of_embedding):
        for number in (4, 0):
            with autocast(precision):
                outputs = network(noise(shape, number))
            assert (outputs.shape, outputs.dtype) == ((number, 24), torch.float32)


@pytest.mark.parametrize(("shape", "of_embedding"), INPUTS)
def test_networks_equal_their_plain_definition(shape: tuple[int, ...], of_embedding: bool):
    for network in build(shape, of_embedding):
        torch.testing.assert_close(network(noise(shape)), plain(network, noise(shape)), atol=1e-5, rtol=1e-5)


def test_layers_of_screens():
    target, predictor = build(SCREEN, False)
    assert [(c.kernel_size[0], c.stride[0]) for c in target.convolutions[::2]] == [(8, 4), (4, 2), (3, 1)]
    assert [type(layer).__name__ for layer in target.linear] == ["Linear"]
    assert [type(layer).__name__ for layer in predictor.linear] == ["Linear", "ReLU", "Linear", "ReLU", "Linear"]


def test_layers_of_embeddings():
    predictor = build(EMBEDDING, True).predictor.linear
    assert [layer.out_features for layer in predictor[::2]] == [64, 128, 256, 24, 24, 24]
    assert [type(layer).__name__ for layer in predictor[1::2]] == ["LeakyReLU"] * 3 + ["ReLU"] * 2


@pytest.mark.parametrize(
    ("shape", "kernel"), [((2, 5, 6), (3, 3)), ((2, 4, 7), (2, 3)), ((2, 3, 3), (2, 2)), ((2, 2, 1), (1, 1))]
)
def test_windows_shrink_with_small_grids(shape: tuple[int, ...], kernel: tuple[int, int]):
    target = build(shape, of_embedding=False).target
    assert [convolution.kernel_size for convolution in target.convolutions[::2]] == [kernel, kernel]
    assert target(noise(shape)).shape == (4, 24)


@pytest.mark.parametrize(("shape", "of_embedding"), INPUTS)
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_gradients_reach_all_of_the_predictor_and_nothing_of_the_target(shape: tuple[int, ...], of_embedding: bool,
                                                                        precision: torch.dtype):  # fmt: skip
    target, predictor = build(shape, of_embedding)
    with autocast(precision):
        loss = (predictor(noise(shape)) - target(noise(shape))).square().mean()
    loss.backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in predictor.parameters())
    assert not any(parameter.requires_grad for parameter in target.parameters())
    assert all(parameter.grad is None for parameter in target.parameters())


@pytest.mark.parametrize(("shape", "of_embedding"), INPUTS)
def test_weights_are_orthogonal_with_gain_root_two_and_biases_zero(shape: tuple[int, ...], of_embedding: bool):
    for network in build(shape, of_embedding):
        for layer in (layer for layer in network.modules() if isinstance(layer, nn.Linear | nn.Conv2d)):
            assert_orthogonal(layer.weight, 2**0.5)
            assert layer.bias.eq(0).all()


@pytest.mark.parametrize(("shape", "of_embedding"), INPUTS)
def test_equal_seeds_give_equal_networks_and_leave_the_global_generator_alone(shape: tuple[int, ...],
                                                                              of_embedding: bool):  # fmt: skip
    before = torch.get_rng_state()
    first, again, other = (build(shape, of_embedding, seed=seed) for seed in (7, 7, 8))
    assert torch.equal(before, torch.get_rng_state())
    for one, same, different in zip(first, again, other, strict=True):
        assert torch.equal(one(noise(shape)), same(noise(shape)))
        assert not torch.equal(one(noise(shape)), different(noise(shape)))


@pytest.mark.parametrize(("shape", "of_embedding"), INPUTS)
def test_no_layer_begins_alike_in_target_and_predictor(shape: tuple[int, ...], of_embedding: bool):
    target, predictor = (
        [layer.weight for layer in network.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
        for network in build(shape, of_embedding)
    )
    assert not any(torch.equal(a, b) for a, b in zip(target, predictor, strict=False))


@pytest.mark.parametrize(("shape", "of_embedding"), INPUTS)
def test_convolutions_compute_in_autocasts_dtype_and_linear_layers_in_float32(shape: tuple[int, ...],
                                                                              of_embedding: bool):  # fmt: skip
    network = build(shape, of_embedding).predictor
    with autocast(torch.bfloat16):
        outputs = network(noise(shape))
        features = network.convolutions(noise(shape))
    flat = features.movedim(1, -1).flatten(1).float() if len(shape) == 3 else features
    assert features.dtype == (torch.bfloat16 if len(shape) == 3 else torch.float32)
    torch.testing.assert_close(outputs, network.linear(flat), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", [SCREEN, GRID])
def test_activations_have_channels_last(shape: tuple[int, ...]):
    """An image of one channel is in both formats: unless its strides say so, convolutions work in the slower one."""
    network, seen = build(shape, of_embedding=False).target, []
    for convolution in network.convolutions[::2]:
        convolution.register_forward_hook(lambda layer, inputs, output: seen.extend([*inputs, output]))
    network(noise(shape))
    assert len(seen) == len(network.convolutions)
    assert all(activation.stride(1) == 1 for activation in seen)


def test_a_region_that_was_learned_is_predicted_better_than_one_that_was_not():
    target, predictor = build(VECTOR, of_embedding=False)
    known = noise(VECTOR, 32).abs()

    def error(x: Tensor) -> Tensor:
        return (predictor(x) - target(x)).square().mean()

    assert 0.5 < (error(known) / error(-known)).item() < 2
    optimizer = torch.optim.Adam(predictor.parameters(), 1e-3)
    for _ in range(100):
        optimizer.zero_grad()
        error(known).backward()
        optimizer.step()
    assert (error(known) / error(-known)).item() < 1 / 3
