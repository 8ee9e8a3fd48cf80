"""Heads of two layers, as rnd-repr (`residual`) and lightning-rnd (`mlp`) have them."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.actor_critic import ActorCritic, ModelOutput
from models.build import build_actor_critic
from rl_platform.core.acting import ActingNetwork
from rl_platform.core.flat import FlatParameters
from rl_platform.core.spec import ActionSpec, EnvSpec
from rl_platform.core.types import Weights
from tests.models.networks import assert_orthogonal, autocast, count

DISCRETE, CONTINUOUS = ActionSpec("categorical", 3), ActionSpec("gaussian", 3)
KINDS = ["mlp", "residual"]


def build(heads: str, action: ActionSpec = DISCRETE, **settings: Any) -> ActorCritic:
    """On vectors of 5 with an embedding of 8, with two values."""
    spec, encoder = EnvSpec("test", (5,), "float32", action), {"kind": "mlp", "hidden": (8, 8)}
    return build_actor_critic(spec, encoder=encoder, heads=heads, num_value_heads=2, seed=0, **settings)


def stirred(model: ActorCritic) -> ActorCritic:
    """With weights of which every layer shows in the outputs, as the initial ones of heads would not."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in (*model.policy.parameters(), *model.value.parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return model


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """3 times and 2 columns of noise."""
    observation = torch.randn(3, 2, 5, generator=torch.Generator().manual_seed(0))
    return observation, torch.zeros(3, 2, dtype=torch.bool), torch.zeros(2, 0)


def affine(layer: nn.Linear, x: Tensor) -> Tensor:
    return x @ layer.weight.T + layer.bias


@pytest.mark.parametrize(("embedding", "parameters"), [(2048, 9_841_076), (448, 1_407_476), (16, 886_052)])
def test_rnd_reprs_actor_critic(embedding: int, parameters: int):
    """The backbone; E·E+E, E·18+18 of the actor; E·E+E under the values and E+1 each."""
    spec = EnvSpec("test", (4, 84, 84), "uint8", ActionSpec("categorical", 18), frame_stack=4)
    encoder = {"kind": "nature_cnn", "hidden": (256,), "embedding": embedding}
    model = build_actor_critic(spec, encoder=encoder, heads="residual", num_value_heads=2, seed=0)
    assert count(model) == count(model.encoder) + (embedding + 1) * (2 * embedding + 18 + 2) == parameters


@pytest.mark.parametrize("heads", KINDS)
def test_the_policy_is_two_layers_with_relu_between_them(heads: str):
    model = stirred(build(heads))
    output, (hidden, _, last) = model(*inputs()), model.policy
    torch.testing.assert_close(output.params, affine(last, affine(hidden, output.embedding).relu()))


@pytest.mark.parametrize("heads", KINDS)
def test_values_share_their_first_layer(heads: str):
    model = stirred(build(heads))
    output, first, last = model(*inputs()), model.value[0], model.value[-1]
    if heads == "residual":
        under = output.embedding + affine(first.linear, output.embedding).relu()
    else:
        under = affine(first, output.embedding).relu()
    torch.testing.assert_close(output.values, affine(last, under))


def test_initial_gains():
    """The residual layer 0.1; every other layer of two-layer heads 0.01, the first ones too."""
    mlp, residual = build("mlp"), build("residual")
    assert_orthogonal(residual.value[0].linear.weight, 0.1)
    small = (mlp.policy[0], mlp.policy[-1], mlp.value[0], mlp.value[-1], residual.policy[0], residual.policy[-1],
             residual.value[-1])  # fmt: skip
    for layer in small:
        assert_orthogonal(layer.weight, 0.01)
    for model in (mlp, residual):
        assert all(parameter.eq(0).all() for name, parameter in model.named_parameters() if name.endswith("bias"))


@pytest.mark.parametrize("heads", KINDS)
@pytest.mark.parametrize("action", [DISCRETE, CONTINUOUS])
@pytest.mark.parametrize("separate_value", [False, True])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_heads_of_every_kind_go_with_every_action_and_encoder(heads: str, action: ActionSpec, separate_value: bool,
                                                              precision: torch.dtype):  # fmt: skip
    model = build(heads, action, separate_value=separate_value)
    with autocast(precision):
        output = model(*inputs())
    assert output.params.shape == (3, 2, 3 if action is DISCRETE else 6)
    assert output.values.shape == (3, 2, 2)
    assert {tensor.dtype for tensor in output} == {torch.float32}
    (output.params.square().sum() + output.values.square().sum()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("heads", KINDS)
def test_heads_compute_in_float32_where_encoders_compute_in_bfloat16(heads: str):
    """Acting and learning: what they make of the embedding is what float32 makes of it, to the last bit."""
    model = stirred(build(heads))
    with autocast(torch.bfloat16):
        assert_heads_are_exact(model, model(*inputs()))
    weights = Weights(1, FlatParameters(model).numpy())
    acting = ActingNetwork(build(heads), precision=torch.bfloat16)
    acting.load(weights)
    assert_heads_are_exact(model, acting(*inputs()))


def assert_heads_are_exact(model: ActorCritic, output: ModelOutput) -> None:
    with torch.autocast("cpu", enabled=False):
        embedding = output.embedding.flatten(0, 1)
        assert torch.equal(embedding, embedding.bfloat16().float())
        assert torch.equal(output.params.flatten(0, 1), model.policy(embedding))
        assert torch.equal(output.values.flatten(0, 1), model.value(embedding))
