"""Generalised advantage estimation against literal numbers, identities, and the paper's average of returns."""

import math

import numpy as np
import pytest
import torch

from learners.returns import gae
from learners.vtrace import vtrace
from tests.learners.random_returns import random_inputs as with_ratios

FP64 = {"rtol": 0, "atol": 1e-12}
FP32 = {"rtol": 1e-5, "atol": 1e-5}
GAMMA = 0.9


def column(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)[:, None]


def example(**changes):
    """Three steps, one column."""
    inputs = {
        "rewards": column(1.0, 0.0, 2.0),
        "values": column(0.5, 1.0, 1.5, 2.0),
        "discounts": column(GAMMA, GAMMA, GAMMA),
        "trace_decay": 0.95,
    }
    return inputs | changes


@pytest.mark.parametrize(
    ("changes", "advantages"),
    [
        ({}, (3.3806075, 2.3165, 2.3)),
        ({"discounts": column(GAMMA, 0.0, GAMMA)}, (0.545, -1.0, 2.3)),
        # λ = 0: r + γ V' − V; λ = 1: Σ γ^k r_{t+k} + γ^{T−t} V_T − V_t.
        ({"trace_decay": 0.0}, (1.4, 0.35, 2.3)),
        ({"trace_decay": 1.0}, (1 + 0.81 * 2 + 0.729 * 2 - 0.5, 0.9 * 2 + 0.81 * 2 - 1, 2.3)),
    ],
    ids=["base", "terminated", "one_step", "whole_unroll"],
)
def test_literal_numbers(changes, advantages):
    result = gae(**example(**changes))
    torch.testing.assert_close(result.advantages, column(*advantages), **FP64)
    torch.testing.assert_close(result.targets, column(0.5, 1.0, 1.5) + column(*advantages), **FP64)


@pytest.mark.parametrize("ignored", [0.0, math.nan, math.inf])
def test_truncation_bootstraps_from_the_true_last_observation(ignored):
    """The third transition only resets: its value bootstraps the step before, all else of it is ignored.

    A = 1.4 + .855 · 1.7, .9 · 3 − 1, –, 2.3.
    """
    result = gae(
        rewards=column(1.0, 0.0, ignored, 2.0),
        values=column(0.5, 1.0, 3.0, 1.5, 2.0),
        discounts=column(GAMMA, GAMMA, ignored, GAMMA),
        valid=torch.tensor([[True], [True], [False], [True]]),
        trace_decay=0.95,
    )
    torch.testing.assert_close(result.advantages, column(2.8535, 1.7, 0.0, 2.3), **FP64)
    torch.testing.assert_close(result.targets, column(3.3535, 2.7, 3.0, 3.8), **FP64)


def random_inputs(seed, **settings):
    """Those of V-trace, without ratios."""
    inputs = with_ratios(seed, **settings)
    assert (~inputs["valid"]).any() and (inputs["discounts"][inputs["valid"]] == 0).any()
    return {name: tensor for name, tensor in inputs.items() if name != "log_ratios"}


def reference(inputs, trace_decay):
    """Equation 16 of the paper, one element at a time: (1 − λ) Σ_k λ^{k−1} A^(k), the longest one taking the rest.

    A^(k)_t = Σ_{l<k} γ^l r_{t+l} + γ^k V_{t+k} − V_t, with k at most the steps to the next invalid one, or to T.
    """
    r, g, value = (inputs[name].double().numpy() for name in ("rewards", "discounts", "values"))
    valid = inputs["valid"].numpy()
    advantages = np.zeros_like(r)
    for t, b in np.argwhere(valid):
        longest = next((k for k in range(len(r) - t) if not valid[t + k, b]), len(r) - t)
        for k in range(1, longest + 1):
            discount = [np.prod(g[t : t + i, b]) for i in range(k + 1)]
            k_step = sum(discount[i] * r[t + i, b] for i in range(k)) + discount[k] * value[t + k, b] - value[t, b]
            advantages[t, b] += trace_decay ** (k - 1) * (1 if k == longest else 1 - trace_decay) * k_step
    return torch.from_numpy(value[:-1] + advantages), torch.from_numpy(advantages)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, FP64), (torch.float32, FP32)])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("trace_decay", [0.0, 0.6, 0.95, 1.0])
def test_equals_the_slow_reference(dtype, tolerance, seed, trace_decay):
    inputs = random_inputs(seed, dtype=dtype)
    result = gae(**inputs, trace_decay=trace_decay)
    targets, advantages = reference(inputs, trace_decay)
    assert result.targets.dtype == result.advantages.dtype == dtype
    torch.testing.assert_close(result.targets, targets.to(dtype), **tolerance)
    torch.testing.assert_close(result.advantages, advantages.to(dtype), **tolerance)


@pytest.mark.parametrize("trace_decay", [0.7, 1.0])
def test_equals_the_corrections_of_v_trace_on_policy(trace_decay):
    inputs = random_inputs(0)
    log_ratios = torch.where(inputs["valid"], 0.0, torch.full_like(inputs["rewards"], math.nan))
    on_policy = vtrace(**inputs, log_ratios=log_ratios, trace_decay=trace_decay)
    result = gae(**inputs, trace_decay=trace_decay)
    torch.testing.assert_close(result.targets, on_policy.targets, **FP64)
    torch.testing.assert_close(result.advantages, on_policy.targets - inputs["values"][:-1], **FP64)


def test_all_valid_is_the_default():
    inputs = example()
    everywhere = torch.ones_like(inputs["rewards"], dtype=torch.bool)
    torch.testing.assert_close(gae(**inputs, valid=everywhere), gae(**inputs), rtol=0, atol=0)


def test_no_gradient_flows():
    inputs = example()
    for name in ("rewards", "values", "discounts"):
        inputs[name].requires_grad_()
    assert not any(tensor.requires_grad for tensor in gae(**inputs))


def test_inputs_are_left_alone():
    inputs = random_inputs(1)
    copies = {name: tensor.clone() for name, tensor in inputs.items()}
    gae(**inputs, trace_decay=0.95)
    for name, tensor in inputs.items():
        torch.testing.assert_close(tensor, copies[name], rtol=0, atol=0, equal_nan=True)


def test_a_fault_at_a_valid_step_shows():
    assert gae(**example(rewards=column(1.0, math.nan, 2.0))).targets.isnan().flatten().tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"values": column(0.5, 1.0, 1.5)}, "rewards must be"),
        ({"discounts": torch.full((3, 1), GAMMA)}, "discounts must be"),
        ({"valid": torch.ones(3, 1)}, "valid must be"),
    ],
)
def test_wrong_shapes_and_dtypes_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        gae(**example(**changes))
