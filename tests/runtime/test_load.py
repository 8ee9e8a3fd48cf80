"""Trained policies for users' own programs and for evaluation."""

import numpy as np
import pytest

import rl_platform
from rl_platform.core.types import Weights
from rl_platform.runtime import build, build_envs
from rl_platform.runtime.errors import InputError
from rl_platform.runtime.load import make_trained_policy, read_run
from tests.runtime.launched import INLINE, last_state, run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    directory = tmp_path_factory.mktemp("load") / "run"
    run(directory, *INLINE, "--run.total_env_steps=1600")
    return directory


def observations(count: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 4)).astype(np.float32)


def learners_weights(directory) -> tuple[object, Weights]:
    config, state, _ = read_run(directory)
    learner = build.make_learner(config, build_envs.env_spec(config))
    learner.load_state_dict(state)
    return config, learner.weights()


def test_it_acts_with_the_weights_that_the_learner_had(trained):
    config, weights = learners_weights(trained)
    expected = build.make_policy(config, build_envs.env_spec(config), seed=0)
    expected.load(weights)
    policy = rl_platform.load_policy(trained)
    seen, state = observations(64), policy.initial_state(64)
    actions, _ = policy.act(seen, state, greedy=True)
    choice = expected.act(seen, np.zeros(64, bool), state, greedy=True)
    np.testing.assert_array_equal(actions, choice.action)
    assert set(actions.tolist()) == {0, 1}
    assert weights.version == last_state(trained)["updates"] > 0


def test_a_seed_decides_sampled_actions(trained):
    def sampled(seed):
        policy = rl_platform.load_policy(trained, seed=seed)
        return policy.act(observations(256), policy.initial_state(256))[0].tolist()

    assert sampled(1) == sampled(1) != sampled(2)


@pytest.mark.parametrize("inside", ["", "checkpoints", "checkpoints/NEWEST"])
def test_run_and_checkpoint_may_be_named_from_inside_the_run(trained, monkeypatch, inside):
    newest = read_run(trained)[2]
    monkeypatch.chdir(trained / inside.replace("NEWEST", newest.name))
    assert read_run(newest.relative_to(trained / "checkpoints") if inside == "checkpoints" else newest)[2] == newest
    if inside == "checkpoints":
        assert read_run(type(newest)(newest.name))[2] == newest
    else:
        assert read_run(type(newest)("."))[2] == newest


def test_a_run_trained_on_a_gpu_acts_where_there_is_none(trained, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    config, state, _ = read_run(trained)
    on_gpu = config.model_copy(
        update={
            "learner": config.learner.model_copy(update={"device": "cuda"}),
            "actors": config.actors.model_copy(update={"device": "cuda"}),
        }
    )
    policies = [make_trained_policy(settings, state, seed=3) for settings in (config, on_gpu)]
    seen, first = observations(32), np.zeros(32, bool)
    left, right = (policy.act(seen, first, policy.initial_memory(32)) for policy in policies)
    np.testing.assert_array_equal(left.action, right.action)
    np.testing.assert_array_equal(left.behaviour, right.behaviour)


def test_a_checkpoint_of_another_network_is_refused(trained):
    config, state, _ = read_run(trained)
    encoder = config.model.encoder.model_copy(update={"hidden": (32,)})
    other = config.model_copy(update={"model": config.model.model_copy(update={"encoder": encoder})})
    with pytest.raises(InputError, match=r"the checkpoint does not fit its run's config\.yaml"):
        make_trained_policy(other, state, seed=0)
