"""Policy heads, the Gaussian one above all, and value heads with an encoder of their own."""

import pytest
import torch

from models.actor_critic import ActorCritic
from models.build import build_actor_critic
from models.heads import GaussianHead, policy_head
from rl_platform.core.distributions import LOG_STD_RANGE, distribution_of
from rl_platform.core.spec import ActionSpec, EnvSpec
from tests.models.networks import count

ENCODER = {"kind": "mlp", "hidden": (8, 8)}
IMAGES = {"kind": "nature_cnn", "embedding": 16}
CONTINUOUS = EnvSpec("test", (5,), "float32", ActionSpec("gaussian", 3))
DISCRETE = EnvSpec("test", (5,), "float32", ActionSpec("categorical", 3))


def outputs(model: ActorCritic, scale: float = 1.0):
    """Of 3 times and 2 columns of noise."""
    observation = scale * torch.randn(3, 2, 5, generator=torch.Generator().manual_seed(0))
    return model(observation, torch.zeros(3, 2, dtype=torch.bool), torch.zeros(2, 0))


def test_gaussian_parameters_are_means_of_the_embedding_and_log_deviations_of_nothing():
    model = build_actor_critic(CONTINUOUS, encoder=ENCODER, seed=0)
    with torch.no_grad():
        model.policy.log_std.copy_(torch.tensor([0.5, -1.0, 0.0]))
    output = outputs(model)
    assert output.params.shape == (3, 2, 6)
    assert output.params.dtype == torch.float32
    means = output.embedding @ model.policy.mean.weight.T + model.policy.mean.bias
    torch.testing.assert_close(output.params[..., :3], means)
    assert torch.equal(output.params[..., 3:], torch.tensor([0.5, -1.0, 0.0]).expand(3, 2, 3))


def test_training_starts_near_the_standard_normal():
    params = outputs(build_actor_critic(CONTINUOUS, encoder=ENCODER, seed=0)).params
    assert (params[..., 3:] == 0).all()
    assert 0 < params[..., :3].abs().max() < 0.1


@pytest.mark.parametrize("action", [ActionSpec("categorical", 4), ActionSpec("gaussian", 4)])
def test_a_head_gives_what_its_distribution_takes(action: ActionSpec):
    head, distribution = policy_head(7, action), distribution_of(action)
    params = head(torch.randn(10, 7))
    assert params.shape == (10, distribution.num_params)
    drawn = distribution.sample(params, torch.Generator())
    assert (drawn.shape, str(drawn.dtype)) == ((10, *action.shape), f"torch.{action.dtype}")


def test_gradients_reach_means_and_deviations():
    model = build_actor_critic(CONTINUOUS, encoder=ENCODER, seed=0)
    distribution = distribution_of(CONTINUOUS.action)
    params = outputs(model).params
    action = distribution.sample(params.detach(), torch.Generator().manual_seed(0))
    distribution.log_prob(params, action).sum().backward()
    squares = ((action - params[..., :3]) * (-params[..., 3:]).exp()).square().detach()
    torch.testing.assert_close(model.policy.log_std.grad, (squares - 1).sum((0, 1)))
    assert model.policy.mean.weight.grad.abs().sum() > 0
    assert model.encoder.layers[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize(("edge", "inwards"), [(LOG_STD_RANGE[1], -1.0), (LOG_STD_RANGE[0], 1.0)])
def test_a_deviation_out_of_range_may_only_move_back(edge: float, inwards: float):
    """A descent on ±log σ from beyond either edge; inside the range the gradient is the plain one."""
    head = GaussianHead(2, 1)
    for value, direction, expected in [(edge - inwards, inwards, -inwards), (edge - inwards, -inwards, 0.0),
                                       (edge, -inwards, inwards), (0.0, -inwards, inwards)]:  # fmt: skip
        with torch.no_grad():
            head.log_std.fill_(value)
        head.log_std.grad = None
        log_std = head(torch.zeros(1, 2))[0, 1]
        assert log_std.item() == min(max(value, LOG_STD_RANGE[0]), LOG_STD_RANGE[1])
        (-direction * log_std).backward()  # a step against the gradient moves it in `direction`
        assert head.log_std.grad.item() == expected


def test_parameter_counts():
    """5·8+8, 8·8+8; a mean 8·3+3 and 3 deviations; a value 8+1; the encoder once or twice."""
    shared = build_actor_critic(CONTINUOUS, encoder=ENCODER, seed=0)
    apart = build_actor_critic(CONTINUOUS, encoder=ENCODER, separate_value=True, num_value_heads=2, seed=0)
    assert count(shared) == (48 + 72) + (27 + 3) + 9
    assert count(apart) == 2 * (48 + 72) + (27 + 3) + 2 * 9
    assert count(build_actor_critic(DISCRETE, encoder=ENCODER, separate_value=True, seed=0)) == 2 * (48 + 72) + 27 + 9


@pytest.mark.parametrize("spec", [CONTINUOUS, DISCRETE])
def test_policy_and_value_share_nothing_if_each_has_its_encoder(spec: EnvSpec):
    model = build_actor_critic(spec, encoder=ENCODER, separate_value=True, seed=0)
    output = outputs(model)
    of_policy = torch.autograd.grad(output.params.square().sum(), model.parameters(), allow_unused=True)
    of_value = torch.autograd.grad(output.values.square().sum(), model.parameters(), allow_unused=True)
    names = [name for name, _ in model.named_parameters()]
    assert all((policy is None) != (value is None) for policy, value in zip(of_policy, of_value, strict=True))
    trained_by_value = {name for name, gradient in zip(names, of_value, strict=True) if gradient is not None}
    assert trained_by_value == {name for name in names if name.startswith(("value.", "value_encoder."))}
    torch.testing.assert_close(output.embedding.flatten(0, 1), model.encoder(_noise()))


def _noise() -> torch.Tensor:
    return torch.randn(3, 2, 5, generator=torch.Generator().manual_seed(0)).flatten(0, 1)


def test_the_two_encoders_start_with_different_weights():
    model = build_actor_critic(CONTINUOUS, encoder=ENCODER, separate_value=True, seed=0)
    assert not torch.equal(model.encoder.layers[0].weight, model.value_encoder.layers[0].weight)


def test_any_encoder_may_be_doubled():
    spec = EnvSpec("test", (4, 36, 36), "uint8", ActionSpec("gaussian", 2), frame_stack=4)
    model = build_actor_critic(spec, encoder=IMAGES, separate_value=True, seed=0)
    output = model(
        torch.zeros(2, 3, 4, 36, 36, dtype=torch.uint8), torch.zeros(2, 3, dtype=torch.bool), torch.zeros(3, 0)
    )
    assert [tuple(tensor.shape) for tensor in output] == [(2, 3, 4), (2, 3, 1), (2, 3, 16), (3, 0)]
    assert count(model.encoder) == count(model.value_encoder)
