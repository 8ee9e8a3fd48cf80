"""Random network distillation: bonuses, their order and scale, the predictor's loss, and what stays untouched."""

import copy
from typing import Any

import numpy as np
import pytest
import torch

from learners.exploration.rnd import CLIP
from learners.gradient_step import GradientStep
from learners.losses.rnd import novelty, rnd_loss
from rl_platform.core.types import Batch
from tests.gpu import needs_gpu
from tests.learners.exploration.small_rnd import OUTPUTS, Exploring, as_sample, reset_batch
from tests.learners.small_learner import COLUMNS, IMAGES, STEPS, VECTORS, batch, hard_batch, plain

PPO = {"estimator": "gae", "objective": "ppo", "epochs": 2, "minibatches": 2}
ONE_STEP = {"epochs": 1, "minibatches": 1}
FAR = -6.0
"""Deviations of observations from their mean."""
OBJECTIVES = pytest.mark.parametrize("settings", [{}, PPO], ids=["vtrace", "ppo"])


def bonuses(exploring: Exploring, made: Batch, update: int = 0) -> torch.Tensor:
    sample, _ = exploring.rnd.prepare(as_sample(made), made, update=update)
    return sample.bonuses.rewards


def scale(state: dict[str, Any]) -> float:
    """What bonuses are divided by."""
    return float(np.sqrt(state["filter"]["squares"] / state["filter"]["count"])[0])


def test_novelty_is_the_mean_squared_error_and_nothing_where_networks_agree():
    one, other = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[1.0, 4.0], [0.0, 0.0]])
    assert novelty(one, other).tolist() == [2.0, 0.0]


def test_the_loss_is_a_sum_over_what_was_drawn_and_0_over_nothing():
    predicted, target = torch.randn(5, 3, requires_grad=True), torch.randn(5, 3, requires_grad=True)
    loss = rnd_loss(predicted, target)
    assert (loss.sum.item(), loss.count) == (pytest.approx(np.square(
        (predicted - target).detach().numpy()).mean(1).sum(), rel=1e-5), 5)  # fmt: skip
    loss.sum.backward()
    assert predicted.grad is not None and target.grad is None
    nothing = rnd_loss(predicted[:0], target[:0])
    assert (nothing.sum.item(), nothing.count.item()) == (0, 0)


def test_bonuses_are_of_the_next_observation_under_the_moments_of_before_and_the_scale_of_after():
    exploring, made = Exploring(), reset_batch()
    state, networks = exploring.rnd.state_dict(), exploring.rnd
    bonuses(exploring, reset_batch(seed=1))  # moments are no longer the prior
    state = copy.deepcopy(exploring.rnd.state_dict())
    std = np.sqrt(state["moments"]["squares"] / state["moments"]["count"])
    inputs = (made.steps.observation[:, 1:] - state["moments"]["mean"]) / std
    inputs = torch.from_numpy(inputs.clip(-CLIP, CLIP).astype(np.float32))
    with torch.no_grad():
        flat = inputs.flatten(0, 1)
        raw = (networks.predictor(flat) - networks._target(flat)).square().mean(-1).view(COLUMNS, STEPS)
    found = bonuses(exploring, made, update=1)
    after = exploring.rnd.state_dict()
    torch.testing.assert_close(found.T, raw / scale(after), rtol=1e-4, atol=1e-6)
    assert after["moments"]["count"] == state["moments"]["count"] + COLUMNS * STEPS
    assert (after["moments"]["mean"] != state["moments"]["mean"]).all()


def test_inputs_that_vary_as_before_have_variance_1_and_other_ones_show():
    exploring = Exploring()
    for seed in range(20):
        alike = exploring.learner.update(batch(seed=seed)).metrics["bonus_input_variance"]
    assert alike == pytest.approx(1, abs=0.5)
    made = batch(seed=20, observation=3 * batch(seed=20).steps.observation + 7)
    shown = exploring.learner.update(made).metrics["bonus_input_variance"]
    moments = exploring.rnd.state_dict()["moments"]
    after = moments["squares"] / moments["count"]
    assert shown == pytest.approx(made.steps.observation[:, 1:].reshape(-1, 3).var(0).sum() / after.sum(), rel=1e-5)
    assert shown > 1.5


@pytest.mark.parametrize("of_embedding", [False, True])
def test_what_is_too_much_at_once_is_evaluated_in_parts(of_embedding: bool, monkeypatch: pytest.MonkeyPatch):
    whole, parts = (Exploring(of_embedding=of_embedding, **PPO) for _ in range(2))
    whole.learner.update(batch())
    for module in ("learners.parts", "learners.gradient_step"):
        monkeypatch.setattr(f"{module}.MAX_ROWS", 2 * (STEPS + 1) + 1)
    rows = []
    parts.model.register_forward_hook(lambda model, given, output: rows.append(given[0].shape[1]))
    parts.learner.update(batch())
    assert rows[: COLUMNS // 2] == [2] * (COLUMNS // 2)
    torch.testing.assert_close(list(parts.model.parameters()), list(whole.model.parameters()))
    torch.testing.assert_close(list(parts.rnd.predictor.parameters()), list(whole.rnd.predictor.parameters()))


def test_what_lies_beyond_five_deviations_is_five():
    exploring = Exploring()
    for seed in range(5):
        bonuses(exploring, batch(seed=seed), update=seed)
    far = torch.tensor([[1e6, -1e6, 0.0]])
    assert exploring.rnd._normalized(far)[0, :2].tolist() == [CLIP, -CLIP]


@OBJECTIVES
def test_the_bonus_of_a_fixed_reset_observation_fades(settings: dict[str, Any]):
    """Otherwise dying would be rewarded for ever. It is far from all others, of which the predictor could learn it."""
    exploring = Exploring(rnd={"update_proportion": 1.0}, **settings)
    raw, reset = [], torch.full((1, 3), FAR)
    for seed in range(200):
        exploring.learner.update(reset_batch(seed=seed, shows=FAR))
        with torch.no_grad():
            seen = exploring.rnd._normalized(reset)
            raw.append(novelty(exploring.rnd.predictor(seen), exploring.rnd._target(seen)).item())
    assert raw[-1] < 0.2 * raw[0]


@OBJECTIVES
def test_the_target_stays_and_the_predictor_learns(settings: dict[str, Any]):
    exploring = Exploring(**settings)
    before = copy.deepcopy(exploring.rnd.state_dict())
    for seed in range(3):
        exploring.learner.update(hard_batch(seed))
    after = exploring.rnd.state_dict()
    trained = [*exploring.model.parameters(), *exploring.rnd.predictor.parameters()]
    assert exploring.learner._flat.vector.numel() == sum(map(torch.numel, trained)), "what the optimiser moves"
    for name, array in before["target"].items():
        np.testing.assert_array_equal(after["target"][name], array)
    assert all((after["predictor"][name] != array).any() for name, array in before["predictor"].items())


def test_published_weights_are_those_of_the_policy_alone():
    exploring = Exploring()
    assert len(exploring.learner.weights().vector) == sum(map(torch.numel, exploring.model.parameters()))
    assert not any("predictor" in name for name in exploring.learner.state_dict()["model"])


@OBJECTIVES
@pytest.mark.parametrize("spec", [VECTORS, IMAGES], ids=["vectors", "frames"])
@pytest.mark.parametrize("of_embedding", [False, True], ids=["observation", "embedding"])
def test_what_is_shown_is_there_and_finite(settings: dict[str, Any], spec, of_embedding: bool):
    exploring = Exploring(spec, of_embedding=of_embedding, **settings)
    info = exploring.learner.update(reset_batch(spec))
    shown = {"loss/rnd", "loss/intrinsic_value", "bonus_mean", "bonus_raw_mean", "bonus_scale", "reward_mean",
             "episode_bonus_mean", "intrinsic_value_mean", "intrinsic_explained_variance"}  # fmt: skip
    assert shown <= info.metrics.keys()
    assert np.isfinite(list(info.metrics.values())).all()
    assert info.metrics["loss/rnd"] > 0 and info.metrics["bonus_mean"] > 0


@needs_gpu
@OBJECTIVES
@pytest.mark.parametrize(("of_embedding", "tau"), [(False, None), (True, None), (True, 0.5)])
def test_a_gpu_learns_what_the_cpu_learns(settings: dict[str, Any], of_embedding: bool, tau: float | None):
    """But for what is drawn by chance: nothing, with an update proportion of 1."""
    cpu, gpu = (Exploring(IMAGES, of_embedding=of_embedding, tau=tau, device=device, rnd={"update_proportion": 1.0},
                          **settings) for device in ("cpu", "cuda"))  # fmt: skip
    for seed in range(2):
        expected, found = (each.learner.update(reset_batch(IMAGES, seed)) for each in (cpu, gpu))
        assert found.metrics == pytest.approx(expected.metrics, rel=1e-2, abs=1e-3)
    for part in ("mean", "squares"):
        moments, theirs = (each.rnd.state_dict()["moments"][part] for each in (gpu, cpu))
        np.testing.assert_allclose(moments, theirs, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("tau", [None, 0.5], ids=["online", "copy"])
def test_the_predictors_loss_never_reaches_the_backbone(tau: float | None):
    exploring = Exploring(of_embedding=True, tau=tau, rnd={"update_proportion": 1.0})
    made = batch()
    sample, _ = exploring.rnd.prepare(as_sample(made), made, update=0)
    for parameter in exploring.model.parameters():
        parameter.grad = None
    for parameter in exploring.rnd.predictor.parameters():
        parameter.grad = None
    exploring.rnd.distill(sample).sum.backward()
    assert all(parameter.grad is None for parameter in exploring.model.parameters())
    assert all(parameter.grad.abs().sum() > 0 for parameter in exploring.rnd.predictor.parameters())


def test_all_epochs_are_of_what_the_encoder_made_of_the_batch_before_them():
    exploring, made = Exploring(of_embedding=True, **PPO), batch()
    before, read, seen = copy.deepcopy(exploring.model.encoder), exploring.rnd._seen, []
    exploring.rnd._seen = lambda observation: seen.append(read(observation)) or seen[-1]
    exploring.learner.update(made)
    (inputs,) = seen
    observations = as_sample(made).steps.observation[1:]
    with torch.no_grad():
        expected = before.represent(observations.flatten(0, 1)).view(inputs.shape)
        assert not torch.allclose(
            exploring.model.encoder.represent(observations.flatten(0, 1)).view(inputs.shape), inputs
        )
    torch.testing.assert_close(inputs, expected)


@pytest.mark.parametrize(("every", "moves"), [(1, 4), (2, 2), (3, 1)])
def test_the_encoders_copy_moves_after_every_so_many_epochs(every: int, moves: int):
    exploring = Exploring(of_embedding=True, tau=0.25, every=every, **PPO)
    expected = copy.deepcopy(exploring.model.encoder)
    view = exploring.rnd._view
    followed = []
    follow = view.follow
    view.follow = lambda: (follow(), followed.append(copy.deepcopy(exploring.model.encoder)))
    for seed in range(2):
        exploring.learner.update(batch(seed=seed))
    for epoch, encoder in enumerate(followed, start=1):
        if epoch % every == 0:
            moves -= 1
            for copied, online in zip(expected.parameters(), encoder.parameters(), strict=True):
                copied.data.lerp_(online.data, 0.25)
    assert moves == 0 and len(followed) == 4
    for copied, present in zip(expected.parameters(), view._read.parameters(), strict=True):
        torch.testing.assert_close(present, copied)


def test_a_copy_moved_all_the_way_is_the_encoder():
    exploring = Exploring(of_embedding=True, tau=1.0)
    exploring.learner.update(batch())
    for copied, online in zip(
        exploring.rnd._view._read.parameters(), exploring.model.encoder.parameters(), strict=True
    ):
        assert torch.equal(copied, online)


def test_until_the_warm_up_is_over_only_the_scale_of_inputs_is_learned(monkeypatch: pytest.MonkeyPatch):
    exploring = Exploring(rnd={"init_updates": 2}, **PPO)
    before = copy.deepcopy(exploring.learner.state_dict())
    step, taken = GradientStep.__call__, []
    monkeypatch.setattr(GradientStep, "__call__", lambda self, *given, **named: taken.append(given[0])
                        or step(self, *given, **named))  # fmt: skip
    infos = [exploring.learner.update(batch(seed=seed)) for seed in range(2)]
    after = exploring.learner.state_dict()
    assert [(info.version, info.skipped) for info in infos] == [(1, False), (2, False)]
    assert after["rnd"]["moments"]["count"] == pytest.approx(2 * STEPS * COLUMNS, abs=1e-3)
    for name in ("model", "predictor"):
        one, other = (state["model"] if name == "model" else state["rnd"]["predictor"] for state in (before, after))
        assert all(np.array_equal(one[key], other[key]) for key in one)
    assert taken == [None, None], "one empty step an update"
    assert exploring.learner.update(batch(seed=2)).metrics["loss/rnd"] > 0 and len(taken) == 2 + 4


@pytest.mark.parametrize("tau", [None, 0.5], ids=["online", "copy"])
@OBJECTIVES
def test_a_restored_learner_goes_on_with_the_same_bytes(settings: dict[str, Any], tau: float | None):
    first, second = (Exploring(of_embedding=True, tau=tau, **settings) for _ in range(2))
    first.learner.update(batch(seed=0))
    second.learner.load_state_dict(copy.deepcopy(first.learner.state_dict()))
    # Streams begin anew after a restart: the environments do too, with the incarnation.
    made = batch(seed=5)
    assert plain(first.learner.update(made)) == plain(second.learner.update(made))
    assert first.learner.weights().vector.tobytes() == second.learner.weights().vector.tobytes()


@pytest.mark.parametrize("on_replayed", [False, True])
def test_the_predictor_learns_from_online_columns_unless_told_otherwise(on_replayed: bool):
    exploring = Exploring(rnd={"update_proportion": 1.0, "on_replayed": on_replayed})
    made = batch()
    online = np.arange(COLUMNS) < 2
    made = made._replace(online=online)
    sample, _ = exploring.rnd.prepare(as_sample(made), made, update=0)
    assert exploring.rnd.distill(sample).count == STEPS * (COLUMNS if on_replayed else 2)
    assert sample.bonuses.rewards.shape == (STEPS, COLUMNS)  # bonuses are for all
    assert exploring.rnd.state_dict()["moments"]["count"] == pytest.approx(2 * STEPS, abs=1e-3)


@OBJECTIVES
def test_a_loss_of_nothing_is_not_shown(settings: dict[str, Any]):
    """Its 0 would be taken for a value in the mean over steps that drew something."""
    exploring, made = Exploring(rnd={"update_proportion": 1e-12}, **settings), batch()
    exploring.learner.update(made)  # warm-up
    info = exploring.learner.update(made)
    assert not info.skipped and "loss/rnd" not in info.metrics and "loss/intrinsic_value" in info.metrics


def test_the_draw_is_a_proportion_and_its_own_in_every_update():
    exploring, made = Exploring(rnd={"update_proportion": 0.25}), batch()
    counts = []
    for update in range(200):
        sample, _ = exploring.rnd.prepare(as_sample(made), made, update=update)
        counts.append(exploring.rnd.distill(sample).count.item())
    assert len(set(counts)) > 5
    assert np.mean(counts) == pytest.approx(0.25 * STEPS * COLUMNS, rel=0.1)


def test_each_pass_over_a_batch_draws_anew_and_the_same_if_the_update_is_repeated():
    exploring, made = Exploring(rnd={"update_proportion": 0.5}), batch()

    def counts() -> list[int]:
        sample, _ = exploring.rnd.prepare(as_sample(made), made, update=3)
        return [int(exploring.rnd.distill(sample).count) for _ in range(10)]

    first = counts()
    assert len(set(first)) > 2 and counts() == first


@OBJECTIVES
def test_with_a_proportion_of_1_the_loss_is_the_mean_over_all_transitions_resets_among_them(settings: dict[str, Any]):
    exploring, made = Exploring(rnd={"update_proportion": 1.0}, **settings | ONE_STEP), reset_batch()
    exploring.learner.update(batch(seed=1))
    predictor = copy.deepcopy(exploring.rnd.predictor)
    found = exploring.learner.update(made).metrics["loss/rnd"]
    with torch.no_grad():
        seen = exploring.rnd._normalized(as_sample(made).steps.observation[1:].flatten(0, 1))
        errors = (predictor(seen) - exploring.rnd._target(seen)).numpy()
    assert found == pytest.approx(np.square(errors).mean(), rel=1e-5)


@pytest.mark.parametrize("weights", [(0.0, 1.0), (1.0, 0.0)])
@OBJECTIVES
def test_either_stream_can_be_left_out_of_the_advantage(settings: dict[str, Any], weights: tuple[float, float]):
    extrinsic, intrinsic = weights
    rnd, settings = {"extrinsic_weight": extrinsic, "intrinsic_weight": intrinsic}, settings | ONE_STEP
    exploring, other = Exploring(rnd=rnd, **settings), Exploring(**settings)
    made = reset_batch()
    chosen, both = (each.learner.update(made).metrics for each in (exploring, other))
    assert chosen["loss/policy"] != both["loss/policy"]
    rewarded = made._replace(steps=made.steps._replace(reward=1 - made.steps.reward))
    one, two = (Exploring(rnd=rnd, **settings).learner.update(each).metrics for each in (made, rewarded))
    assert (one["loss/policy"] == two["loss/policy"]) == (extrinsic == 0)
    one, two = (Exploring(rnd=rnd, networks_seed=seed, **settings).learner.update(made).metrics for seed in (2, 9))
    assert one["bonus_mean"] != two["bonus_mean"]
    assert (one["loss/policy"] == two["loss/policy"]) == (intrinsic == 0)


def test_judging_changes_nothing_and_agrees_with_the_bonuses_that_are_learned_from():
    exploring, made = Exploring(), batch()
    for seed in range(3):
        exploring.learner.update(batch(seed=seed))
    before = copy.deepcopy(exploring.learner.state_dict())
    judged = exploring.rnd.judge(as_sample(made).steps.observation[1:])
    after = exploring.learner.state_dict()
    assert before["rnd"]["moments"]["count"] == after["rnd"]["moments"]["count"]
    learned_from = bonuses(exploring, made) * scale(exploring.rnd.state_dict())
    torch.testing.assert_close(judged * scale(before["rnd"]), learned_from)


def test_outputs_are_as_wide_as_asked():
    assert Exploring().rnd.predictor(torch.zeros(2, 3)).shape == (2, OUTPUTS)
