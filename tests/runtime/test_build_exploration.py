"""From a config to what bonuses are functions of."""

import copy

import pytest
import torch

from configs.loader import load_config
from learners.ranks import ONE_RANK
from rl_platform.runtime import build
from rl_platform.runtime.build_envs import env_spec
from rl_platform.runtime.build_exploration import make_rnd

NORMALIZED = ["--learner.rnd.input=embedding", "--model.normalize_observations=true"]


@pytest.mark.parametrize(("name", "overrides", "shape", "keeps"), [
    ("montezuma/ppo_rnd", [], (1, 84, 84), None),
    ("montezuma/modified_rnd_16", [], (16,), 0.0),
    ("montezuma/modified_rnd_conv", [], (64, 7, 7), 0.0),
    ("montezuma/modified_rnd_polyak_05", ["--model.encoder.embedding=16"], (16,), 0.95),
    ("classic/cartpole_rnd", NORMALIZED, (64,), 0.0),
])  # fmt: skip
def test_bonuses_are_of_the_newest_frame_or_of_what_the_trained_encoder_or_its_copy_makes_of_all(
    name: str, overrides: list[str], shape: tuple[int, ...], keeps: float | None
):
    """`keeps` is the part of the old encoder that is read after an epoch in which it has changed."""
    config = load_config(name, overrides)
    spec = env_spec(config)
    network = build.make_network(config, spec)
    if network.normalizer is not None:
        network.normalizer.set(torch.full(spec.observation_shape, 3.0), torch.full(spec.observation_shape, 2.0))
    view = make_rnd(config, spec, network, torch.device("cpu"), ONE_RANK)._view
    shown = torch.randint(0, 255, (2, 3, *spec.observation_shape)).to(getattr(torch, spec.observation_dtype))
    assert view.shape == shape
    if keeps is None:
        assert torch.equal(view(shown), shown[:, :, -1:])
        return
    before = copy.deepcopy(network.encoder)
    with torch.no_grad():
        for parameter in network.encoder.parameters():
            parameter.mul_(1.1)
    view.follow()
    read = copy.deepcopy(before)
    for kept, new in zip(read.parameters(), network.encoder.parameters(), strict=True):
        kept.data.mul_(keeps).add_(new.data, alpha=1 - keeps)
    rows = shown.flatten(0, 1)
    with torch.no_grad():
        expected = read.represent(rows if network.normalizer is None else network.normalizer(rows)).float()
    found = view(shown)
    assert not found.requires_grad
    torch.testing.assert_close(found, expected.view(2, 3, *shape), rtol=1e-4, atol=1e-5)
