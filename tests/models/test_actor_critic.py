"""Networks: shapes, initial weights, and the encoders against their plain definitions."""

import numpy as np
import pytest
import torch
from torch import nn

from models.build import build_actor_critic, check_encoder
from rl_platform.core.flat import FlatParameters
from rl_platform.core.spec import ActionSpec, EnvSpec

NATURE, MLP = {"kind": "nature_cnn", "embedding": 32}, {"kind": "mlp", "hidden": (8, 8), "activation": "tanh"}


def spec(shape: tuple[int, ...], dtype: str) -> EnvSpec:
    return EnvSpec("test", shape, dtype, ActionSpec("categorical", 6))


IMAGES, VECTORS, GRIDS = spec((4, 84, 84), "uint8"), spec((5,), "float32"), spec((4, 10, 10), "uint8")
GRID = {"kind": "grid_cnn", "channels": (16,), "kernel": 3, "embedding": 128}


def inputs(environment: EnvSpec, times: int, columns: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (times, columns, *environment.observation_shape)
    observation = torch.randint(0, 256, shape, generator=generator).to(getattr(torch, environment.observation_dtype))
    return observation, torch.zeros(times, columns, dtype=torch.bool), torch.zeros(columns, 0)


@pytest.mark.parametrize(("environment", "encoder"), [(IMAGES, NATURE), (VECTORS, MLP), (GRIDS, GRID)])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_output_is_float32_of_the_stated_shapes(environment: EnvSpec, encoder: dict, precision: torch.dtype):
    model = build_actor_critic(environment, encoder=encoder, num_value_heads=2, seed=0)
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        output = model(*inputs(environment, 3, 2))
    assert [tuple(tensor.shape) for tensor in output] == [(3, 2, 6), (3, 2, 2), (3, 2, model.encoder.embedding), (2, 0)]
    assert {tensor.dtype for tensor in output} == {torch.float32}


def test_nature_cnn_equals_its_plain_definition():
    """Literal layers on pixels divided by 255; only the order of the linear layer's inputs is ours (channels last)."""
    encoder = build_actor_critic(IMAGES, encoder=NATURE, seed=3).encoder
    observation = inputs(IMAGES, 1, 2)[0][0]
    plain = nn.Sequential(encoder.conv1, nn.ReLU(), encoder.conv2, nn.ReLU(), encoder.conv3, nn.ReLU())
    features = plain(observation.float().contiguous() / 255)
    assert features.shape == (2, 64, 7, 7)
    expected = encoder.linear(features.movedim(1, -1).flatten(1)).relu()
    torch.testing.assert_close(encoder(observation), expected, atol=1e-5, rtol=1e-5)


def test_memory_format_of_the_observation_does_not_matter():
    encoder = build_actor_critic(IMAGES, encoder=NATURE, seed=3).encoder
    observation = inputs(IMAGES, 1, 2)[0][0]
    channels_last = observation.contiguous(memory_format=torch.channels_last)
    assert torch.equal(encoder(observation), encoder(channels_last))


def test_grid_cnn_is_minatars_network():
    """3·3·4·16+16, 8·8·16·128+128 parameters; values as they are, whether 0/1 or 7."""
    encoder = build_actor_critic(GRIDS, encoder=GRID, seed=3).encoder
    assert sum(map(torch.numel, encoder.parameters())) == 592 + 131_200
    observation = inputs(GRIDS, 1, 2)[0][0]
    convolution = encoder.convolutions[0]
    expected = encoder.linear(convolution(observation.float()).relu().flatten(1)).relu()
    torch.testing.assert_close(encoder(observation), expected)


def test_grid_cnn_reads_categories_as_channels_of_zeros_and_ones():
    grids, categories = spec((2, 5, 6), "uint8"), (3, 4)
    encoder = build_actor_critic(grids, encoder={**GRID, "channels": (8, 8), "kernel": 2, "categories": categories},
                                 seed=3).encoder  # fmt: skip
    observation = torch.randint(0, 5, (7, 2, 5, 6), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
    planes = np.zeros((7, sum(categories), 5, 6), np.float32)
    for image, channel, row, column in np.ndindex(7, 2, 5, 6):
        value = int(observation[image, channel, row, column])
        if value < categories[channel]:
            planes[image, sum(categories[:channel]) + value, row, column] = 1
    expected = encoder.linear(encoder.convolutions(torch.from_numpy(planes)).flatten(1)).relu()
    torch.testing.assert_close(encoder(observation), expected)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"channels": (8,) * 5}, "take 10 off each side of images of 10 × 10; set model.encoder.channels to fewer"),
        ({"categories": (2, 2)}, "model.encoder.categories has 2 numbers, observations have 4 channels"),
    ],
)
def test_grid_cnn_that_does_not_fit_is_refused(settings: dict, text: str):
    with pytest.raises(ValueError, match=text):
        build_actor_critic(GRIDS, encoder={**GRID, **settings}, seed=0)


def test_parameter_counts():
    """8·8·4·32+32, 4·4·32·64+64, 3·3·64·64+64, 3136·512+512, and heads for 6 actions and one value."""
    model = build_actor_critic(IMAGES, encoder={"kind": "nature_cnn", "embedding": 512}, seed=0)
    assert sum(map(torch.numel, model.parameters())) == 8224 + 32832 + 36928 + 1606144 + 3078 + 513


@pytest.mark.parametrize(("environment", "encoder"), [(IMAGES, NATURE), (VECTORS, MLP)])
def test_equal_seeds_give_equal_bytes_and_leave_the_global_generator_alone(environment: EnvSpec, encoder: dict):
    before = torch.get_rng_state()
    first, second, other = (
        FlatParameters(build_actor_critic(environment, encoder=encoder, seed=seed)).numpy() for seed in (7, 7, 8)
    )
    assert first.tobytes() == second.tobytes()
    assert not np.array_equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


def test_initial_weights_are_orthogonal_with_the_stated_gains():
    model = build_actor_critic(VECTORS, encoder=MLP, seed=0)
    gains = ((model.encoder.layers[2].weight, 2**0.5), (model.policy.weight, 0.01), (model.value.weight, 1.0))
    for weight, gain in gains:
        torch.testing.assert_close(weight @ weight.T, gain**2 * torch.eye(len(weight)), atol=1e-6, rtol=0)
    assert all(parameter.abs().max() == 0 for name, parameter in model.named_parameters() if name.endswith("bias"))


@pytest.mark.parametrize(
    ("environment", "kind", "remedy"),
    [
        (VECTORS, "nature_cnn", "nature_cnn cannot read; set model.encoder.kind to mlp"),
        (spec((128,), "uint8"), "nature_cnn", "nature_cnn cannot read; set model.encoder.kind to mlp"),
        (IMAGES, "mlp", "mlp cannot read; set model.encoder.kind to nature_cnn"),
        (spec((4, 84, 84), "float32"), "nature_cnn", "nature_cnn cannot read; set model.encoder.kind to grid_cnn"),
        (spec((3, 30, 84), "uint8"), "nature_cnn", "nature_cnn cannot read; set model.encoder.kind to grid_cnn"),
        (spec((210, 160), "uint8"), "nature_cnn", "at least 36 × 36, .*mlp needs vectors.*; choose another env.id"),
        (spec((210, 160), "uint8"), "mlp", r"test has observations of uint8 \(210, 160\), which no encoder can read"),
    ],
)
def test_an_encoder_that_cannot_read_the_observations_is_refused(environment: EnvSpec, kind: str, remedy: str):
    for refuse in (check_encoder, lambda spec, kind: build_actor_critic(spec, encoder={"kind": kind}, seed=0)):
        with pytest.raises(ValueError, match=remedy):
            refuse(environment, kind)


@pytest.mark.parametrize(("shape", "dtype", "kind"), [((3, 36, 36), "uint8", "nature_cnn"), ((1,), "uint8", "mlp")])
def test_an_encoder_that_can_read_the_observations_is_accepted(shape: tuple[int, ...], dtype: str, kind: str):
    check_encoder(spec(shape, dtype), kind)
    assert build_actor_critic(spec(shape, dtype), encoder={"kind": kind}, seed=0).encoder.embedding > 0
