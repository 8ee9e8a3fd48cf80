"""Features that replay compares: alike from the policy that acted and from stored steps; what a projection keeps."""

from functools import partial

import numpy as np
import pytest
import torch

from configs.loader import load_config
from models.features import Projection, trunk_activations
from rl_platform.core.types import axes_swapped
from rl_platform.runtime import build, build_envs

SMALL = ["--actors.count=1", "--actors.envs_per_actor=8", "--actors.unroll_length=20"]


def collected(name: str, *overrides: str):
    """What compares features in a config's shard, with a real unroll, columns first, and the weights that played it."""
    config = load_config(name, [*SMALL, *overrides])
    spec = build_envs.env_spec(config)
    weights = build.make_learner(config, spec).weights()
    worker = build.make_worker(config, 0, 0)
    steps = worker.collect(weights)[0].steps
    worker.close()
    columns = axes_swapped(steps)
    return build.make_shard(config, spec).sources[0], columns, weights


@pytest.mark.parametrize("name", ["classic/cartpole_elite", "atari/pong_elite"])
@pytest.mark.parametrize("features", ["16", "null"])
def test_features_under_the_weights_that_acted_are_those_that_were_stored(name, features):
    """Eight columns of twenty steps: more than one pass. bfloat16 rounds sums of other batch sizes differently."""
    source, steps, weights = collected(name, f"--replay.features={features}", "--model.precision=fp32")
    present = scorer_of(source).features(weights, steps, np.arange(20))
    assert present.shape == steps.features.shape
    assert np.ptp(steps.features) > 0
    np.testing.assert_allclose(present, steps.features, rtol=2e-3, atol=2e-3)


def test_other_weights_see_something_else_and_chosen_times_are_those_of_all():
    source, steps, weights = collected("atari/pong_elite")
    of = partial(scorer_of(source).features, weights._replace(version=1, vector=weights.vector * 1.1), steps)
    everything = of(np.arange(20))
    assert np.abs(everything - steps.features).max() > 0.01
    np.testing.assert_array_equal(of(np.array([0, 7, 14])), everything[:, [0, 7, 14]])


def test_a_projection_is_the_seed_s_and_keeps_distances():
    """Of 128 numbers each keeps a distance to within about 1/√64: here the mean ratio of 200, and each to a half."""
    embedding = torch.randn(200, 512, generator=torch.Generator().manual_seed(1)).relu()
    projected = Projection(512, 128, seed=3)(embedding)
    assert (projected.shape, projected.dtype) == ((200, 128), torch.float16)
    torch.testing.assert_close(Projection(512, 128, seed=3)(embedding), projected, rtol=0, atol=0)
    assert not torch.equal(Projection(512, 128, seed=4)(embedding), projected)
    ratios = (projected[:100] - projected[100:]).float().norm(dim=1) / (embedding[:100] - embedding[100:]).norm(dim=1)
    assert abs(ratios.mean() - 1) < 0.05
    assert (ratios - 1).abs().max() < 0.5
    assert torch.equal(trunk_activations(embedding), embedding.half())


def scorer_of(source):
    """What its choice is made with."""
    return source._choice.score.__self__
