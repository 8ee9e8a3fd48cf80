"""The learner: batches in, weights out. Plain Python; knows nothing of where it runs."""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from learners.adaptive_kl import AdaptiveKl
from learners.bookkeeping import Bookkeeping, bookkeeping_counts, column_histograms, read_bookkeeping
from learners.circular_buffer import CircularBuffer, Served
from learners.exploration.rnd import RandomNetworkDistillation
from learners.gradient_step import GradientStep, mean_metrics
from learners.minibatches import minibatches
from learners.moments import RunningMoments, new_observations
from learners.optimizer import OptimizerFactory
from learners.ranks import ONE_RANK, Ranks
from learners.sample import Sample
from learners.settings import LearnerSettings
from learners.state import check_fits, load_arrays, named_arrays
from learners.target import TargetNetwork
from learners.terms import Coefficients
from learners.transfer import BatchTransfer
from rl_platform.core.distributions import ActionDistribution
from rl_platform.core.flat import FlatParameters
from rl_platform.core.frames import stack_frames
from rl_platform.core.schedule import Schedule
from rl_platform.core.seeding import derive_seed
from rl_platform.core.types import Batch, LearnerProgress, UpdateInfo, Weights


class Stateful(Protocol):
    """What updates change."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Learner:
    """Trains a network on batches, one update each, alone or together with learners in other processes.

    An update is one gradient step or several, as the settings say, and leaves one new version of the weights. Every
    rank takes the same steps, those of the ranks' columns put together (`GradientStep`). An update with a step whose
    loss or gradient was not finite counts as skipped: that step was not taken. Its env steps are committed and its
    version published like any other's. One in which no rank has a transition to learn from is no step either, but does
    not count as skipped.

    Args:
      model: as `models.actor_critic.ActorCritic`; owned from here on. Returns, gradients and optimiser have its dtype.
        Ranks must start from equal parameters.
      learning_rate, entropy_weight: on committed env steps, this update's not yet among them.
      gradient_clip: largest norm of the whole gradient; None: no bound.
      frame_stack: S; observations of a batch are single frames if it exceeds 1.
      precision: of the forward and backward pass; float32 leaves both in the model's dtype.
      rnd: where bonuses come from, on the same device and ranks; None: there are none. The model has a second value
        head for them.
      seed: of the shuffling, which also depends on rank and update: so it is no state, and the same after a restart.
    """

    def __init__(self, model: nn.Module, distribution: ActionDistribution, settings: LearnerSettings, *,
                 optimizer: OptimizerFactory, learning_rate: Schedule, entropy_weight: Schedule,
                 gradient_clip: float | None, frame_stack: int, precision: torch.dtype,
                 device: torch.device | str = "cpu", ranks: Ranks = ONE_RANK, seed: int = 0,
                 rnd: RandomNetworkDistillation | None = None):  # fmt: skip
        assert settings.rnd == (None if rnd is None else rnd.settings)
        self._device, self._ranks, self._settings = torch.device(device), ranks, settings
        self._model, self._rnd = model.to(self._device), rnd
        self._num_published = sum(map(torch.numel, self._model.parameters()))
        self._flat = FlatParameters(self._model if rnd is None else nn.ModuleList([self._model, rnd.predictor]))
        self._target = self._make_target()
        self._target_kl = self._make_target_kl()
        self._moments = None if model.normalizer is None else RunningMoments(model.normalizer.mean.numel())
        self._step = GradientStep(self._model, self._flat, None if self._target is None else self._target.model,
                                  distribution, settings, optimizer=optimizer, gradient_clip=gradient_clip,
                                  precision=precision, device=self._device, ranks=ranks, rnd=rnd)  # fmt: skip
        self._buffer = CircularBuffer(settings.impact.buffer_batches, settings.impact.buffer_uses)
        self._transfer = BatchTransfer(self._device)
        self._learning_rate, self._entropy_weight = learning_rate, entropy_weight
        self._frame_stack, self._seed = frame_stack, seed
        self._env_steps = self._updates = self._version = self._skipped = 0

    def _make_target(self) -> TargetNetwork | None:
        if self._settings.objective != "impact":
            return None
        impact = self._settings.impact
        return TargetNetwork(self._model, every=impact.target_every, tau=impact.target_tau)

    def _make_target_kl(self) -> AdaptiveKl | None:
        if not self._settings.penalizes_target_kl:
            return None
        return AdaptiveKl(self._settings.impact.kl_coefficient, self._settings.impact.kl_target)

    def update(self, batch: Batch | None) -> UpdateInfo:
        """One update on every rank's batch; this one's arrays are only read. None: on the other ranks' alone.

        Raises:
          RuntimeError: another rank is dead or late: the ranks must meet anew. An update of one gradient step has then
            changed nothing here but the scale of bonuses; after one of several, continue from a saved state.
        """
        learning_rate, coefficients = self._learning_rate(self._env_steps), self._coefficients()
        sample, of_bonuses = self._with_bonuses(self._sample(batch), batch)
        served = self._buffer.push(sample)  # None too: every rank's buffer then serves as often
        counts, steps = self._counts(batch), []
        for sample in [None] if self._is_warming_up() else self._gradient_samples(served):
            steps.append(self._step(sample, counts, learning_rate=learning_rate, coefficients=coefficients))
            counts = []  # they went with the first
            if self._rnd is not None and len(steps) % self._settings.minibatches == 0:
                self._rnd.follow()
        bookkeeping = read_bookkeeping(self._ranks, steps[0].counts)
        skipped, metrics = any(step.skipped for step in steps), mean_metrics(steps)
        self._updates += 1
        self._version += 1
        self._skipped += skipped
        self._env_steps += bookkeeping.env_steps
        self._follow(bookkeeping, metrics)
        metrics |= bookkeeping.metrics | self._impact_metrics(coefficients, served) | {"learning_rate": learning_rate}
        metrics |= of_bonuses
        return self._info(batch, skipped, metrics)

    def _coefficients(self) -> Coefficients:
        target_kl = 0.0 if self._target_kl is None else self._target_kl.coefficient
        return Coefficients(entropy=self._entropy_weight(self._env_steps), target_kl=target_kl)

    def _counts(self, batch: Batch | None) -> list[float]:
        observations = np.zeros(0)
        if self._moments is not None:
            observations = self._moments.sums(None if batch is None else new_observations(batch))
        return bookkeeping_counts(self._ranks, batch, observations, version=self._version)

    def _is_warming_up(self) -> bool:
        """Whether this update only measures the inputs of bonuses: its one gradient step is an empty one."""
        return self._rnd is not None and self._rnd.is_warming_up(self._updates)

    def _with_bonuses(self, sample: Sample | None, batch: Batch | None) -> tuple[Sample | None, dict[str, float]]:
        """The sample with bonuses, and metrics; None while only the scale of their inputs is learned."""
        if self._rnd is None:
            return sample, {}
        sample = None if sample is None else self._stacked(sample)
        if self._is_warming_up():
            self._rnd.warm_up(sample)
            return None, {}
        return self._rnd.prepare(sample, batch, update=self._updates)

    def _sample(self, batch: Batch | None) -> Sample | None:
        """The batch on the device: frames still single, real numbers in the parameters' dtype."""
        if batch is None:
            return None
        steps, dtype = self._transfer.to_time_major(batch.steps), self._flat.vector.dtype
        steps = steps._replace(behaviour=steps.behaviour.to(dtype), reward=steps.reward.to(dtype),
                               value=steps.value.to(dtype))  # fmt: skip
        return Sample(steps, torch.from_numpy(~batch.online).to(self._device))

    def _gradient_samples(self, served: list[Served]) -> Iterator[Sample | None]:
        """What the gradient steps are taken on, one after the other; as many on every rank."""
        generator = torch.Generator().manual_seed(derive_seed(self._seed, self._ranks.index, self._updates))
        for sample, _ in served:
            prepared = None if sample is None else self._prepare(sample)
            yield from minibatches(prepared, epochs=self._settings.epochs, count=self._settings.minibatches,
                                   generator=generator)  # fmt: skip

    def _prepare(self, sample: Sample) -> Sample:
        """With stacked frames (those with bonuses have them); for PPO with returns of the weights before its epochs."""
        if sample.bonuses is None:
            sample = self._stacked(sample)
        return self._step.fix_returns(sample) if self._settings.objective == "ppo" else sample

    def _stacked(self, sample: Sample) -> Sample:
        if self._frame_stack == 1:
            return sample
        stacks = stack_frames(sample.steps.observation, sample.steps.is_first, self._frame_stack)
        return sample._replace(steps=sample.steps._replace(observation=stacks))

    def _follow(self, bookkeeping: Bookkeeping, metrics: dict[str, float]) -> None:
        """Have everything that goes along with the parameters catch up, at the end of an update.

        Normalisation changes only here, so that the policy that acts next and the next update's agree.
        """
        if self._moments is not None:
            self._moments.add(bookkeeping.observations)
            self._model.normalizer.set(torch.from_numpy(self._moments.mean), torch.from_numpy(self._moments.std))
        if self._target_kl is not None and "target_kl" in metrics:
            self._target_kl.update(metrics["target_kl"])
        if self._target is not None:
            self._target.follow(self._updates)

    def _impact_metrics(self, coefficients: Coefficients, served: list[Served]) -> dict[str, float]:
        if self._settings.objective != "impact":
            return {}
        shown = {"batch_uses_mean": sum(uses + 1 for _, uses in served) / len(served)}
        return shown if self._target_kl is None else shown | {"kl_coefficient": coefficients.target_kl}

    def _info(self, batch: Batch | None, skipped: bool, metrics: dict[str, float]) -> UpdateInfo:
        counts = {"version": self._version, "updates": self._updates, "env_steps": self._env_steps, "skipped": skipped}
        if batch is None:
            return UpdateInfo(**counts, metrics=metrics, had_batch=False)
        return UpdateInfo(
            **counts,
            metrics={**metrics, **batch.metrics},
            columns_dropped=batch.columns_dropped,
            histograms=column_histograms(batch, self._version - 1),  # the version that learned from it
        )

    def weights(self) -> Weights:
        """A copy of the present weights."""
        return Weights(self._version, self._flat.numpy(self._num_published))

    def progress(self) -> LearnerProgress:
        """How far it has come."""
        return LearnerProgress(self._version, self._updates, self._env_steps)

    def continue_at(self, version: int) -> None:
        """Publish the present weights, and count on, from `version`: after a restart, one that was never used."""
        assert version >= self._version, (version, self._version)
        self._version = version

    def _companions(self) -> dict[str, Stateful]:
        """What changes along with the parameters, by its name in the state."""
        named = {"target": self._target, "target_kl": self._target_kl, "observation_moments": self._moments,
                 "rnd": self._rnd}  # fmt: skip
        return {name: part for name, part in named.items() if part is not None}

    def state_dict(self) -> dict[str, Any]:
        """Everything that updates change, as NumPy arrays and numbers; parameters by name.

        But not the batches that IMPACT holds for reuse: after a restart it begins with an empty buffer.
        """
        return {
            "model": named_arrays(self._model),
            "optimizer": self._step.state_dict(),
            "env_steps": self._env_steps,
            "updates": self._updates,
            "version": self._version,
            "updates_skipped": self._skipped,
        } | {name: part.state_dict() for name, part in self._companions().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue exactly where `state` was taken, its version included, until `continue_at`.

        Raises:
          ValueError: the state of another network, optimiser or objective.
        """
        check_fits(self._model, state["model"])
        for name, part in self._companions().items():
            if name not in state:
                raise ValueError(f"the saved learner has no {name}: keep the `learner` and `model` sections")
            part.load_state_dict(state[name])
        self._step.load_state_dict(state["optimizer"])
        load_arrays(self._model, state["model"])
        self._env_steps, self._updates = int(state["env_steps"]), int(state["updates"])
        self._version = int(state["version"])
        self._skipped = int(state["updates_skipped"])
