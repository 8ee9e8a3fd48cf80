"""The learner on small real networks: learning, skipping, resuming, repeating."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from actors.policy import TorchPolicy
from learners.learner import Learner
from learners.optimizer import OptimizerFactory, adam, rmsprop
from learners.relevance import Relevance
from learners.settings import ImpactSettings
from models.build import build_actor_critic
from rl_platform.core.distributions import Categorical
from rl_platform.core.schedule import Schedule
from rl_platform.core.spec import EnvSpec
from rl_platform.core.types import Trajectory
from tests.learners.small_learner import (
    COLUMNS,
    ENCODERS,
    IMAGES,
    STEPS,
    VECTORS,
    batch,
    changed,
    hard_batch,
    learner,
    parameters,
    plain,
)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("spec", [VECTORS, IMAGES])
def test_learns_a_bandit(spec: EnvSpec):
    learning = learner(spec, learning_rate=Schedule(2e-3))
    first, *_, last = [learning.update(batch(spec, seed)).metrics for seed in range(60)]
    assert last["loss/value"] < 0.5 * first["loss/value"]
    params = act(learning, spec, batch(spec, 100).steps)
    assert (params[:, 1] - params[:, 0]).min() > 1.0  # p(action 1) > 0.73 everywhere


def act(learning: Learner, spec: EnvSpec, steps: Trajectory, precision: torch.dtype = torch.float32) -> np.ndarray:
    """[B, P] of the policy that gets the learner's weights, for time 0 of each column without a history."""
    acting = TorchPolicy(build_actor_critic(spec, encoder=ENCODERS[spec], seed=5), Categorical(2), torch.Generator(),
                         precision=precision)  # fmt: skip
    acting.load(learning.weights())
    observation = steps.observation[:, : spec.frame_stack] if spec.frame_stack > 1 else steps.observation[:, 0]
    return acting.act(observation, np.zeros(COLUMNS, bool), acting.initial_memory(COLUMNS)).behaviour


@pytest.mark.parametrize(
    ("spec", "precision", "tolerance"),
    [(VECTORS, torch.float32, 1e-6), (IMAGES, torch.float32, 1e-6), (IMAGES, torch.bfloat16, 1e-2)],
)
def test_the_learner_sees_the_logits_that_the_policy_acts_on(spec: EnvSpec, precision: torch.dtype, tolerance: float):
    """π = μ where the behaviour is what the policy said of the same observations: KL 0, every ratio 1."""
    learning = learner(spec, learning_rate=Schedule(1e-3), precision=precision)
    learning.update(batch(spec))
    steps = batch(spec, 1, is_first=np.zeros((COLUMNS, STEPS + 1), bool)).steps
    shifted = [steps._replace(observation=steps.observation[:, t:]) for t in range(STEPS)]
    behaviour = np.stack([act(learning, spec, later, precision) for later in shifted], axis=1)
    metrics = learning.update(batch(spec, 1, is_first=steps.is_first, behaviour=behaviour)).metrics
    assert metrics["kl_behaviour"] == pytest.approx(0.0, abs=tolerance)
    assert metrics["rho_mean"] == pytest.approx(1.0, abs=tolerance)
    assert metrics["policy_lag_mean"] == metrics["policy_lag_max"] == 1.0


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("optimizer", [rmsprop(momentum=0.5), adam()])
def test_equal_inputs_give_equal_bytes_and_a_resumed_run_equals_an_uninterrupted_one(
    optimizer: OptimizerFactory, precision: torch.dtype
):
    first, second = (learner(IMAGES, optimizer=optimizer, precision=precision) for _ in range(2))
    for seed in range(20):
        infos = [learning.update(batch(IMAGES, seed)) for learning in (first, second)]
        assert plain(infos[0]) == plain(infos[1])
    assert first.weights().vector.tobytes() == second.weights().vector.tobytes()

    resumed = learner(IMAGES, optimizer=optimizer, precision=precision)
    resumed.load_state_dict(first.state_dict())
    for seed in range(20, 23):
        assert plain(first.update(batch(IMAGES, seed))) == plain(resumed.update(batch(IMAGES, seed)))
    assert first.weights().version == resumed.weights().version == 23
    assert first.weights().vector.tobytes() == resumed.weights().vector.tobytes()


def test_versions_count_on_from_where_a_restart_says():
    """`updates` go back with the snapshot, versions never do."""
    first = learner()
    for seed in range(3):
        first.update(batch(seed=seed))
    resumed = learner()
    resumed.load_state_dict(first.state_dict())
    assert resumed.weights().version == 3
    resumed.continue_at(10)
    assert resumed.weights().version == 10
    info = resumed.update(batch(seed=3))
    assert (info.version, info.updates, resumed.weights().version) == (11, 4, 11)
    assert info.metrics["policy_lag_max"] == 10  # made by weights 0
    assert resumed.state_dict()["updates"] == 4
    assert first.update(batch(seed=3)).metrics["loss/total"] == info.metrics["loss/total"]
    with pytest.raises(AssertionError):
        resumed.continue_at(10)


def test_an_update_without_valid_transitions_is_no_step():
    learning = learner(optimizer=rmsprop(momentum=0.5))
    learning.update(batch())
    before = learning.state_dict()
    info = learning.update(batch(valid=np.zeros((COLUMNS, STEPS), bool)))
    after = learning.state_dict()
    assert (info.skipped, info.version, info.env_steps) == (False, 2, 2 * STEPS * COLUMNS)
    for part in ("model", "optimizer"):
        assert flatten(before[part]) == flatten(after[part])


def test_state_before_the_first_update_round_trips():
    first, resumed = learner(), learner()
    resumed.load_state_dict(first.state_dict())
    assert plain(first.update(batch())) == plain(resumed.update(batch()))


def test_state_is_arrays_and_plain_numbers_that_later_updates_leave_alone():
    learning = learner(IMAGES)
    learning.update(batch(IMAGES))
    state = learning.state_dict()
    before = {name: array.copy() for name, array in state["model"].items()}
    learning.update(batch(IMAGES))
    assert set(state["model"]) == {name for name, _ in build_actor_critic(IMAGES, encoder=ENCODERS[IMAGES],
                                                                          seed=0).named_parameters()}  # fmt: skip
    assert all(np.array_equal(before[name], array) for name, array in state["model"].items())
    assert all(array.flags.c_contiguous for array in state["model"].values())
    assert (state["env_steps"], state["updates"], state["updates_skipped"]) == (STEPS * COLUMNS, 1, 0)
    assert set(state["optimizer"]["tensors"]) == {"step", "square_avg"}


def test_state_of_another_network_or_optimiser_is_refused():
    learning = learner()
    state = learner(IMAGES).state_dict()
    with pytest.raises(ValueError, match=r"the saved network differs in encoder\.conv1\.bias"):
        learning.load_state_dict(state)
    with pytest.raises(ValueError, match="the saved optimiser is Adam, not RMSprop"):
        learning.load_state_dict(learner(optimizer=adam()).state_dict())


@pytest.mark.parametrize("transform", ["clamp", "sign", "none"])
def test_a_nan_reward_at_a_valid_step_skips_the_update(transform: str):
    learning = learner(reward_transform=transform)
    learning.update(batch())
    before = learning.state_dict()
    info = learning.update(batch(reward=changed(batch().steps.reward, math.nan)))
    after = learning.state_dict()
    assert (info.skipped, info.version, info.env_steps) == (True, 2, 2 * STEPS * COLUMNS)
    assert after["updates_skipped"] == 1
    assert learning.weights().version == 2
    for part in ("model", "optimizer"):
        assert flatten(before[part]) == flatten(after[part])
    assert not learning.update(batch()).skipped  # nothing of it is left behind


def flatten(state: dict[str, Any]) -> dict[str, bytes]:
    arrays = state.get("tensors", state)
    return {name: array.tobytes() for name, array in arrays.items()}


def test_nan_at_an_invalid_step_is_ignored():
    valid = changed(batch().steps.valid, False)
    infos, weights = [], []
    for reward in (batch().steps.reward, changed(batch().steps.reward, math.nan)):
        learning = learner()
        infos.append(learning.update(batch(reward=reward, valid=valid)))
        weights.append(learning.weights().vector)
    assert not infos[1].skipped
    assert plain(infos[0]) == plain(infos[1])
    assert np.array_equal(*weights)


def test_mean_is_sum_over_the_number_of_valid_steps():
    valid = changed(batch().steps.valid, False)
    total, mean = (learner(reduction=reduction).update(batch(valid=valid)).metrics for reduction in ("sum", "mean"))
    for name in ("loss/policy", "loss/value", "loss/entropy", "loss/total"):
        assert total[name] == pytest.approx(mean[name] * (STEPS * COLUMNS - 1), rel=1e-5)
    parts = mean["loss/policy"] + mean["loss/value"] + mean["loss/entropy"]
    assert mean["loss/total"] == pytest.approx(parts, rel=1e-5)


def test_schedules_follow_committed_env_steps():
    learning = learner(learning_rate=Schedule(1e-2, 0.0, over_env_steps=2 * STEPS * COLUMNS))
    infos = [learning.update(batch(seed=seed)) for seed in range(2)]
    assert [info.metrics["learning_rate"] for info in infos] == [1e-2, 5e-3]
    before = learning.weights().vector
    assert learning.update(batch()).metrics["learning_rate"] == 0.0
    assert np.array_equal(before, learning.weights().vector)
    assert infos[1].columns_dropped == 3


def test_entropy_weight_flattens_the_policy():
    spread = []
    for entropy in (0.0, 10.0):
        learning = learner(entropy=entropy)
        for seed in range(40):
            learning.update(batch(seed=seed))
        spread.append(np.ptp(act(learning, VECTORS, batch(seed=100).steps), axis=1).mean())
    assert spread[1] < 0.1 * spread[0]


def test_bf16_updates_stay_close_to_fp32_ones():
    metrics = [learner(IMAGES, precision=precision).update(batch(IMAGES)).metrics
               for precision in (torch.float32, torch.bfloat16)]  # fmt: skip
    for name in ("loss/total", "loss/value", "gradient_norm"):
        assert metrics[1][name] == pytest.approx(metrics[0][name], rel=0.03)
    assert metrics[1]["loss/total"] != metrics[0]["loss/total"]


ALGORITHMS = {
    "ppo": {"estimator": "gae", "objective": "ppo", "epochs": 2, "minibatches": 3, "reduction": "mean"},
    "impact": {
        "objective": "impact",
        "impact": ImpactSettings(target_every=2, target_tau=0.5, kl_coefficient=0.5, kl_target=1e-3, buffer_uses=2),
    },
    "clear": {"policy_cloning_weight": 0.1, "value_cloning_weight": 0.05},
    "laser": {"relevance": Relevance(threshold=0.1)},
    "columns": {"epochs": 2, "minibatches": 2},
    "normalised": {"normalize_observations": True},
}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_continues_from_its_state_bit_for_bit(algorithm: str):
    first, resumed = (learner(VECTORS, **ALGORITHMS[algorithm]) for _ in range(2))
    for seed in range(5):
        first.update(hard_batch(seed, replayed=slice(0, 2)))
    resumed.load_state_dict(first.state_dict())
    for seed in range(5, 8):
        infos = [plain(each.update(hard_batch(seed, replayed=slice(0, 2)))) for each in (first, resumed)]
        assert infos[0] == infos[1]
        assert not infos[0].skipped
    assert parameters(first).tobytes() == parameters(resumed).tobytes()
    assert parameters(first).tobytes() != parameters(learner(VECTORS, **ALGORITHMS[algorithm])).tobytes()


@pytest.mark.parametrize(
    ("algorithm", "missing"),
    [("impact", "target"), ("impact", "target_kl"), ("normalised", "observation_moments")],
)
def test_a_state_without_what_the_algorithm_needs_is_refused(algorithm: str, missing: str):
    learning = learner(VECTORS, **ALGORITHMS[algorithm])
    state = learning.state_dict()
    del state[missing]
    with pytest.raises(ValueError, match=f"the saved learner has no {missing}"):
        learning.load_state_dict(state)


def test_nothing_is_learned_without_a_batch():
    for settings in ALGORITHMS.values():
        learning = learner(VECTORS, **settings)
        before = parameters(learning)
        info = learning.update(None)
        assert (info.version, info.updates, info.env_steps, info.skipped, info.had_batch) == (1, 1, 0, False, False)
        assert info.histograms == {}
        assert parameters(learning).tobytes() == before.tobytes()


def test_ages_are_told_apart_by_where_columns_come_from():
    """Weights 5 learn from online columns of versions 5, 4, 4 and replayed ones of 1, 0 and 2."""
    learning = learner()
    for seed in range(5):
        learning.update(batch(seed=seed))
    mixed = batch()._replace(
        weight_version=np.array([5, 1, 4, 0, 4, 2]),
        online=np.array([True, False, True, False, True, False]),
        uses=np.array([1, 2, 1, 3, 1, 4], np.int32),
        metrics={"replay/fill": 0.5},
    )
    info = learning.update(mixed)
    expected = {"policy_lag_mean": 2 / 3, "policy_lag_max": 1, "replay_age_mean": 4, "replay_age_max": 5,
                "reuse_mean": 3, "online_share": 0.5, "replay/fill": 0.5}  # fmt: skip
    assert {name: info.metrics[name] for name in expected} == pytest.approx(expected)
    assert info.histograms["policy_lag"].tolist() == [0, 1, 1]
    assert info.histograms["replay_age"].tolist() == [4, 5, 3]
    assert info.histograms["reuse"].tolist() == [2, 3, 4]
    only_online = learning.update(batch()).metrics
    assert not {"replay_age_mean", "reuse_mean", "online_share"} & only_online.keys()
    only_replayed = learning.update(batch()._replace(online=np.zeros(COLUMNS, bool))).metrics
    assert "policy_lag_mean" not in only_replayed
    assert only_replayed["online_share"] == 0


def test_replayed_columns_that_are_newer_than_the_weights_have_no_age():
    """As after `--resume`, where replay contents may be some updates newer than the learner's state."""
    newer = batch()._replace(weight_version=np.array([0, 3, 0, 0, 0, 0]), online=np.arange(COLUMNS) != 1)
    info = learner().update(newer)
    assert info.histograms["replay_age"].tolist() == [0]
    assert (info.metrics["replay_age_mean"], info.metrics["replay_age_max"]) == (0, 0)


@pytest.mark.parametrize(("reward", "learned"), [(4.0, 0.5), (-80.0, -1.0)])
def test_rewards_are_scaled_before_they_are_clamped(reward: float, learned: float):
    """An eighth of 4 is within ±1, of −80 it is not."""
    scaled, plain = (batch(reward=np.full((COLUMNS, STEPS), each, np.float32)) for each in (reward, learned))
    assert learner(reward_scale=0.125).update(scaled).metrics == learner().update(plain).metrics


def test_minibatches_of_columns_are_steps_of_their_own():
    """Three epochs of two: six gradient steps, one version, env steps committed once."""
    learning = learner(epochs=3, minibatches=2)
    info = learning.update(batch())
    assert learning.state_dict()["optimizer"]["tensors"]["step"] == 6
    assert (info.version, info.env_steps) == (1, STEPS * COLUMNS)


@pytest.mark.parametrize(
    "nonsense",
    [{"epochs": 0}, {"minibatches": 0}, {"estimator": "gae"}, {"impact": ImpactSettings(target_every=2)}],
)
def test_settings_without_meaning_are_refused(nonsense: dict[str, Any]):
    with pytest.raises(AssertionError):
        learner(**nonsense)
