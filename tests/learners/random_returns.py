"""Random inputs of return estimators."""

import math

import torch


def random_inputs(seed, steps=17, columns=5, dtype=torch.float64):
    """Ratios on both sides of the clips, terminations, and truncations followed by resets full of NaN."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def happens(probability):
        return torch.rand(steps, columns, generator=generator) < probability

    valid = ~happens(0.15)
    discounts = torch.where(happens(0.1), 0.0, torch.full((steps, columns), 0.97, dtype=torch.float64))
    inputs = {
        "log_ratios": torch.where(valid, normal(steps, columns), math.nan),
        "rewards": torch.where(valid, normal(steps, columns), math.nan),
        "discounts": torch.where(valid, discounts, math.nan),
        "values": normal(steps + 1, columns),
    }
    return {name: tensor.to(dtype) for name, tensor in inputs.items()} | {"valid": valid}
