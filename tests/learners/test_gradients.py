"""Operations on the flat gradient vector."""

import math

import pytest
import torch

from learners.gradients import clip_by_norm


def test_long_gradients_are_scaled_to_the_bound():
    gradient = torch.tensor([3.0, -4.0])
    assert clip_by_norm(gradient, 2.5).item() == 5.0
    torch.testing.assert_close(gradient, torch.tensor([1.5, -2.0]))


def test_short_gradients_are_left_bit_for_bit():
    gradient = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    before = gradient.clone()
    norm = clip_by_norm(gradient, 40.0)
    torch.testing.assert_close(norm, before.double().square().sum().sqrt().float())
    assert torch.equal(gradient, before)


def test_clipping_keeps_the_direction():
    before = torch.randn(1000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    gradient = before.clone()
    norm = clip_by_norm(gradient, 0.5)
    torch.testing.assert_close(gradient.norm().item(), 0.5)
    torch.testing.assert_close(gradient, before * (0.5 / norm), rtol=0, atol=1e-12)


def test_zero_stays_zero():
    gradient = torch.zeros(3)
    assert clip_by_norm(gradient, 1.0).item() == 0
    assert torch.equal(gradient, torch.zeros(3))


def test_parameters_that_view_the_vector_are_clipped_with_it():
    """The norm is that of all parameters together, as in clipping by global norm."""
    vector = torch.zeros(5)
    layers = [torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(3))]
    layers[0].grad, layers[1].grad = vector[:2], vector[2:]
    (3 * layers[0].sum() - 2 * layers[1].sum()).backward()
    others = [torch.nn.Parameter(torch.zeros_like(layer)) for layer in layers]
    for other, layer in zip(others, layers, strict=True):
        other.grad = layer.grad.clone()
    clip_by_norm(vector, 1.0)
    torch.nn.utils.clip_grad_norm_(others, 1.0)
    for other, layer in zip(others, layers, strict=True):
        torch.testing.assert_close(layer.grad, other.grad)


@pytest.mark.parametrize("fault", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("index", [0, 500, 999])
def test_one_bad_element_shows_in_the_norm(fault, index):
    gradient = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    gradient[index] = fault
    assert not clip_by_norm(gradient, 40.0).isfinite()
