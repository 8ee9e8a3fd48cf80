"""Encoders: what they represent observations as, and the Nature CNN's layers beyond its convolutions."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.encoders import ENCODERS
from models.encoders.nature_cnn import NatureCnn
from models.trunk import channels_last
from tests.models.networks import autocast, count

FRAMES, GRID, VECTOR = (4, 84, 84), (4, 10, 10), (5,)
OBSERVATIONS = {"nature_cnn": FRAMES, "grid_cnn": GRID, "mlp": VECTOR}
MAPS = (64, 7, 7)


def noise(shape: tuple[int, ...], count: int = 3) -> Tensor:
    return torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def nature(**settings: Any) -> NatureCnn:
    torch.manual_seed(1)
    return NatureCnn(FRAMES, "uint8", **settings)


def linear_layers(encoder: NatureCnn, maps: Tensor) -> Tensor:
    """Plainly: channels come last, ReLU follows each."""
    x = maps.movedim(1, -1).flatten(1)
    for layer in [layer for layer in encoder.hidden if isinstance(layer, nn.Linear)]:
        x = layer(x).relu()
    return encoder.linear(x).relu()


@pytest.mark.parametrize(("embedding", "parameters"), [(2048, 1_407_392), (448, 996_192), (16, 885_168)])
@pytest.mark.parametrize("last_layer", ["linear", "conv"])
def test_rnd_reprs_backbone(embedding: int, parameters: int, last_layer: str):
    """8·8·4·32+32, 4·4·32·64+64, 3·3·64·64+64, 3136·256+256, 256·E+E."""
    encoder = nature(hidden=(256,), embedding=embedding, last_layer=last_layer)
    assert count(encoder) == 8_224 + 32_832 + 36_928 + 803_072 + 257 * embedding == parameters
    assert encoder(noise(FRAMES)).shape == (3, embedding)


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_encoders_represent_observations_as_their_features(kind: str, precision: torch.dtype):
    encoder, observation = ENCODERS[kind](OBSERVATIONS[kind], "uint8"), noise(OBSERVATIONS[kind])
    with autocast(precision):
        represented, features = encoder.represent(observation), encoder(observation)
    assert represented.shape == (3, *encoder.representation_shape) == (3, encoder.embedding)
    assert represented.dtype == precision
    assert torch.equal(represented, features)


@pytest.mark.parametrize("hidden", [(), (24,), (24, 12)])
def test_hidden_layers_lie_between_the_convolutions_and_the_last_layer(hidden: tuple[int, ...]):
    encoder = nature(hidden=hidden, embedding=8, last_layer="conv")
    widths = [(layer.in_features, layer.out_features) for layer in encoder.modules() if isinstance(layer, nn.Linear)]
    assert widths == list(zip((3136, *hidden), (*hidden, 8), strict=True))
    observation = noise(FRAMES)
    expected = linear_layers(encoder, encoder.represent(observation))
    torch.testing.assert_close(encoder(observation), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_the_last_convolution_represents_observations_where_that_is_asked(precision: torch.dtype):
    encoder, observation = nature(hidden=(24,), last_layer="conv"), noise(FRAMES)
    plain = nn.Sequential(encoder.conv1, nn.ReLU(), encoder.conv2, nn.ReLU(), encoder.conv3, nn.ReLU())
    with autocast(precision):
        maps = encoder.represent(observation)
    assert maps.shape == (3, *encoder.representation_shape) == (3, *MAPS)
    assert maps.dtype == precision
    rough = precision == torch.bfloat16
    expected = plain(observation.float() / 255)
    torch.testing.assert_close(maps.float(), expected, atol=0.02 if rough else 1e-5, rtol=0.02 if rough else 1e-5)


def test_the_choice_of_representation_changes_neither_weights_nor_features():
    linear, conv = nature(hidden=(24,)), nature(hidden=(24,), last_layer="conv")
    assert all(torch.equal(a, b) for a, b in zip(linear.parameters(), conv.parameters(), strict=True))
    assert torch.equal(linear(noise(FRAMES)), conv(noise(FRAMES)))


@pytest.mark.parametrize("last_layer", ["linear", "conv"])
def test_gradients_of_a_representation_reach_the_layers_under_it_alone(last_layer: str):
    encoder = nature(hidden=(24,), embedding=8, last_layer=last_layer)
    encoder.represent(noise(FRAMES)).sum().backward()
    above = {name for name, parameter in encoder.named_parameters() if parameter.grad is None}
    linear = {"hidden.0.weight", "hidden.0.bias", "linear.weight", "linear.bias"}
    assert above == (linear if last_layer == "conv" else set())


def test_maps_have_the_size_of_smaller_images():
    """36 → 8 → 3 → 1, 44 → 10 → 4 → 2."""
    encoder = NatureCnn((3, 36, 44), "uint8", last_layer="conv")
    assert encoder.represent(noise((3, 36, 44))).shape[1:] == encoder.representation_shape == (64, 1, 2)


@pytest.mark.parametrize("channels", [1, 4])
def test_channels_come_last_in_memory(channels: int):
    """One channel is in both formats: only strides say which one convolutions go by, and one of them is slower."""
    images = noise((channels, 6, 5))
    last = channels_last(images)
    assert torch.equal(last, images)
    assert last.stride() == (30 * channels, 1, 5 * channels, channels)
    assert channels_last(last).data_ptr() == last.data_ptr()
