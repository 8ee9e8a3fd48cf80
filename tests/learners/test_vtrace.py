"""V-trace against literal numbers, identities, and a slow reference in the paper's notation."""

import math

import numpy as np
import pytest
import torch

from learners.returns import backward_scan
from learners.vtrace import vtrace
from tests.learners.random_returns import random_inputs

FP64 = {"rtol": 0, "atol": 1e-12}
FP32 = {"rtol": 1e-5, "atol": 1e-5}
GAMMA = 0.9


def column(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)[:, None]


def example(**changes):
    """Three steps, one column, every ratio on another side of the clip."""
    inputs = {
        "log_ratios": column(0.5, 2.0, 1.0).log(),
        "rewards": column(1.0, 0.0, 2.0),
        "values": column(0.5, 1.0, 1.5, 2.0),
        "discounts": column(GAMMA, GAMMA, GAMMA),
    }
    return inputs | changes


@pytest.mark.parametrize(
    ("changes", "targets", "advantages"),
    [
        ({}, (2.289, 3.42, 3.8), (1.789, 2.42, 2.3)),
        ({"trace_decay": 0.95}, (2.19030375, 3.3165, 3.8), (1.742425, 2.42, 2.3)),
        ({"rho_clip": 2.0}, (2.4465, 3.77, 3.8), (1.9465, 2.42, 2.3)),
        ({"discounts": column(GAMMA, 0.0, GAMMA)}, (0.75, 0.0, 3.8), (0.25, -1.0, 2.3)),
        # δ = (.7, .35, 2.3), c = (.5, 1.5, 1); the surrogate weighs by nothing, or by ratios clipped at 1.5.
        ({"c_clip": 1.5}, (0.5 + 0.7 + 0.45 * (0.35 + 1.35 * 2.3), 4.455, 3.8), (2.25475, 2.42, 2.3)),
        ({"pg_rho_clip": None}, (2.289, 3.42, 3.8), (3.578, 2.42, 2.3)),
        ({"pg_rho_clip": 1.5}, (2.289, 3.42, 3.8), (1.789, 3.63, 2.3)),
    ],
    ids=["base", "trace_decay", "rho_clip", "terminated", "c_clip", "no_pg_rho", "pg_rho_clip"],
)
def test_literal_numbers(changes, targets, advantages):
    result = vtrace(**example(**changes))
    torch.testing.assert_close(result.targets, column(*targets), **FP64)
    torch.testing.assert_close(result.advantages, column(*advantages), **FP64)


@pytest.mark.parametrize("ignored", [0.0, math.nan, math.inf])
def test_truncation_bootstraps_from_the_true_last_observation(ignored):
    """The third transition only resets: its value bootstraps the step before, all else of it is ignored."""
    ratios = column(0.5, 2.0, 1.0, 1.0).log()
    ratios[2] = ignored
    result = vtrace(
        log_ratios=ratios,
        rewards=column(1.0, 0.0, ignored, 2.0),
        values=column(0.5, 1.0, 3.0, 1.5, 2.0),
        discounts=column(GAMMA, GAMMA, ignored, GAMMA),
        valid=torch.tensor([[True], [True], [False], [True]]),
    )
    torch.testing.assert_close(result.targets, column(1.965, 2.7, 3.0, 3.8), **FP64)
    torch.testing.assert_close(result.advantages, column(1.465, 1.7, 0.0, 2.3), **FP64)
    torch.testing.assert_close(result.rhos, column(0.5, 1.0, 0.0, 1.0), **FP64)


def test_on_policy_targets_are_n_step_returns():
    result = vtrace(**example(log_ratios=column(0.0, 0.0, 0.0)))
    returns = column(1 + 0.81 * 2 + 0.729 * 2, 0.9 * 2 + 0.81 * 2, 2 + 0.9 * 2)
    torch.testing.assert_close(result.targets, returns, **FP64)
    torch.testing.assert_close(result.advantages, returns - example()["values"][:-1], **FP64)


def test_on_policy_with_decay_is_generalised_advantage_estimation():
    inputs = example(log_ratios=column(0.0, 0.0, 0.0), trace_decay=0.95)
    corrections = vtrace(**inputs).targets - inputs["values"][:-1]
    torch.testing.assert_close(corrections, column(3.3806075, 2.3165, 2.3), **FP64)


def test_actions_that_the_target_policy_never_takes_teach_nothing():
    inputs = example(log_ratios=column(-math.inf, -math.inf, -math.inf))
    result = vtrace(**inputs)
    torch.testing.assert_close(result.targets, inputs["values"][:-1], **FP64)
    torch.testing.assert_close(result.advantages, torch.zeros_like(result.advantages), **FP64)


def reference(inputs, rho_clip, c_clip, pg_rho_clip, trace_decay):
    """Equation 1 of the paper as sums of products, one element at a time; a trace ends at an invalid step."""
    x = {name: tensor.double().numpy() for name, tensor in inputs.items() if name != "valid"}
    r, g, value, valid = x["rewards"], x["discounts"], x["values"], inputs["valid"].numpy()
    w = np.exp(x["log_ratios"])
    targets, advantages = value.copy(), np.zeros_like(r)
    for s, b in np.argwhere(valid):
        for t in range(s, len(r)):
            if not valid[t, b]:
                break
            product = np.prod([g[i, b] * trace_decay * min(c_clip, w[i, b]) for i in range(s, t)])
            targets[s, b] += product * min(rho_clip, w[t, b]) * (r[t, b] + g[t, b] * value[t + 1, b] - value[t, b])
    for s, b in np.argwhere(valid):
        weight = 1.0 if pg_rho_clip is None else min(pg_rho_clip, w[s, b])
        advantages[s, b] = weight * (r[s, b] + g[s, b] * targets[s + 1, b] - value[s, b])
    return torch.from_numpy(targets[:-1]), torch.from_numpy(advantages)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, FP64), (torch.float32, FP32)])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "options",
    [
        {"rho_clip": 1.0, "c_clip": 1.0, "pg_rho_clip": 1.0, "trace_decay": 1.0},
        {"rho_clip": 2.0, "c_clip": 1.2, "pg_rho_clip": 0.7, "trace_decay": 0.9},
        {"rho_clip": math.inf, "c_clip": 0.8, "pg_rho_clip": None, "trace_decay": 0.5},
    ],
    ids=["defaults", "all_different", "unclipped"],
)
def test_equals_the_slow_reference(dtype, tolerance, seed, options):
    inputs = random_inputs(seed, dtype=dtype)
    assert (~inputs["valid"]).any()
    assert (inputs["discounts"] == 0).any()
    result = vtrace(**inputs, **options)
    targets, advantages = reference(inputs, **options)
    assert result.targets.dtype == result.advantages.dtype == dtype
    torch.testing.assert_close(result.targets, targets.to(dtype), **tolerance)
    torch.testing.assert_close(result.advantages, advantages.to(dtype), **tolerance)


def test_ratios_above_every_clip_are_all_alike():
    inputs = random_inputs(0)
    raised = torch.where(inputs["log_ratios"] > math.log(1.5), inputs["log_ratios"] + 3, inputs["log_ratios"])
    options = {"rho_clip": 1.5, "c_clip": 1.2, "pg_rho_clip": 1.0}
    assert (raised > inputs["log_ratios"]).any()
    before, after = vtrace(**inputs, **options), vtrace(**(inputs | {"log_ratios": raised}), **options)
    torch.testing.assert_close(after, before, **FP64)


def test_all_valid_is_the_default():
    inputs = example()
    everywhere = torch.ones_like(inputs["rewards"], dtype=torch.bool)
    torch.testing.assert_close(vtrace(**inputs, valid=everywhere), vtrace(**inputs), rtol=0, atol=0)


def test_no_gradient_flows():
    inputs = {name: tensor.requires_grad_() for name, tensor in example().items()}
    assert not any(tensor.requires_grad for tensor in vtrace(**inputs))


def test_inputs_are_left_alone():
    inputs = random_inputs(1)
    copies = {name: tensor.clone() for name, tensor in inputs.items()}
    vtrace(**inputs)
    for name, tensor in inputs.items():
        torch.testing.assert_close(tensor, copies[name], rtol=0, atol=0, equal_nan=True)


def test_a_fault_at_a_valid_step_shows():
    inputs = example(rewards=column(1.0, math.nan, 2.0))
    assert vtrace(**inputs).targets.isnan().flatten().tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"values": column(0.5, 1.0, 1.5)}, "log_ratios must be"),
        ({"values": torch.zeros(4, dtype=torch.float64)}, "values must be"),
        ({"values": column(1.0)}, "values must be"),
        ({"values": torch.zeros(4, 1, dtype=torch.bfloat16)}, "values must be float32"),
        ({"rewards": column(1.0, 0.0)}, "rewards must be"),
        ({"discounts": torch.full((3, 1), GAMMA)}, "discounts must be"),
        ({"valid": torch.ones(3, 1)}, "valid must be"),
        ({"valid": torch.ones(3, 2, dtype=torch.bool)}, "valid must be"),
    ],
)
def test_wrong_shapes_and_dtypes_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        vtrace(**example(**changes))


def test_backward_scan():
    torch.testing.assert_close(
        backward_scan(column(1.0, 2.0, 4.0), column(0.5, 0.25, 100.0)), column(2.5, 3.0, 4.0), rtol=0, atol=0
    )
