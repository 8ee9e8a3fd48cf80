"""Random network distillation (Burda et al. 2019): the error of predicting a fixed random network measures novelty."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from learners.exploration.inputs import InputView
from learners.exploration.settings import RndSettings
from learners.exploration.statistics import BonusStatistics
from learners.losses.rnd import novelty, rnd_loss
from learners.losses.term import LossTerm
from learners.moments import RunningMoments, variance
from learners.parts import in_parts
from learners.ranks import Ranks
from learners.sample import Bonuses, Sample
from learners.state import check_fits, load_arrays, named_arrays
from rl_platform.core.seeding import derive_seed
from rl_platform.core.types import Batch

CLIP = 5.0
"""Normalised inputs are clipped to ± this."""


class RandomNetworkDistillation:
    """Bonuses for transitions, and the loss that makes them fade.

    The bonus of a transition is the error about the observation that it leads to. Of a batch, in this order: bonuses
    under the inputs' moments of before; then the new inputs enter the moments, and the bonuses the return filter;
    then bonuses are divided by its deviation. The predictor is trained under the new moments.

    Args:
      target: normalised inputs [N, *view.shape] → [N, D] float32; see `models.rnd`.
      predictor: the same, to be trained.
      view: what the networks read of observations.
      precision: of the networks' convolutions.
      seed: of the draw of what the predictor is trained on; with rank and update, so that it is no state.
    """

    def __init__(self, target: nn.Module, predictor: nn.Module, view: InputView, settings: RndSettings, *,
                 precision: torch.dtype, device: torch.device, ranks: Ranks, seed: int):  # fmt: skip
        self.settings = settings
        self.predictor, self._target = predictor.to(device), target.to(device)
        self._view, self._precision, self._device = view, precision, device
        self._moments = RunningMoments(int(np.prod(view.shape)), prior=1e-4)
        self._statistics = BonusStatistics(settings.discount)
        self._ranks, self._seed = ranks, seed
        self._generator = torch.Generator()
        self._follow_moments()

    def _follow_moments(self) -> None:
        dtype = next(self.predictor.parameters()).dtype
        self._mean, self._std = (
            _as_inputs_lie(torch.from_numpy(values).to(self._device, dtype).view(self._view.shape))
            for values in (self._moments.mean, self._moments.std)
        )

    def is_warming_up(self, updates: int) -> bool:
        """Whether, after so many updates, only the inputs' moments are learned."""
        return updates < self.settings.init_updates

    def warm_up(self, sample: Sample | None) -> None:
        """Let new inputs enter the moments. Every rank takes part, those without a batch (None) with nothing.

        Raises:
          RuntimeError: another rank is dead or late.
        """
        sums = self._moments.sums(None if sample is None else self._new(sample, self._inputs(sample)))
        self._add_moments(*self._sum_over_ranks([sums]))

    def prepare(self, sample: Sample | None, batch: Batch | None, *, update: int) -> tuple[Sample | None, dict]:
        """The sample with bonuses and what the predictor reads, and metrics over all ranks.

        Args:
          sample: with stacked frames, T+1 rows of observations; None: this rank has no batch.
          batch: whose columns they are.
          update: its number, for the draw.

        Raises:
          RuntimeError: another rank is dead or late. Moments have then not changed, but the environments' sums have.
        """
        self._generator.manual_seed(derive_seed(self._seed, self._ranks.index, update))
        inputs = raw = None
        new = bonuses = None
        if sample is not None:
            inputs = self._inputs(sample)
            raw = self._raw_bonuses(inputs)
            new, bonuses = self._new(sample, inputs), raw.numpy(force=True).T.astype(np.float64)
        moments, statistics = self._sum_over_ranks([self._moments.sums(new), self._statistics.sums(bonuses, batch)])
        metrics = self._statistics.add(statistics) | self._add_moments(moments)
        if sample is not None:
            sample = sample._replace(bonuses=Bonuses(raw / self._statistics.scale, inputs))
        return sample, metrics

    def judge(self, observation: Tensor) -> Tensor:
        """Normalised bonuses [T, B] for leading to these observations [T, B, …]; nothing learns from it."""
        return self._raw_bonuses(self._seen(observation)) / self._statistics.scale

    def _inputs(self, sample: Sample) -> Tensor:
        """What the networks read of the observations that transitions lead to [T, B, …]."""
        return self._seen(sample.steps.observation[1:])

    def _seen(self, observation: Tensor) -> Tensor:
        with self._autocast():
            return self._view(observation)

    def _new(self, sample: Sample, inputs: Tensor) -> Tensor:
        """The inputs of online columns [n, D]: replayed ones have been counted."""
        return inputs[:, ~sample.replayed].reshape(-1, self._mean.numel())

    def _add_moments(self, sums: np.ndarray) -> dict[str, float]:
        """Take in sums over the ranks; the metric is 1 where inputs vary within a batch as they did over the run."""
        self._moments.add(sums)
        self._follow_moments()
        return {"bonus_input_variance": variance(sums).sum() / np.square(self._moments.std).sum()} if sums[0] else {}

    def _sum_over_ranks(self, parts: list[np.ndarray]) -> list[np.ndarray]:
        """Each added up over the ranks, in one collective."""
        sums = torch.from_numpy(np.concatenate(parts)).to(self._device)
        self._ranks.sum(sums)
        return np.split(sums.numpy(force=True), np.cumsum([len(part) for part in parts])[:-1])

    @torch.no_grad()
    def _raw_bonuses(self, inputs: Tensor) -> Tensor:
        """[T, B] float32."""
        with self._autocast():
            return in_parts(self._errors, inputs.flatten(0, 1)).view(inputs.shape[:2])

    def _errors(self, inputs: Tensor) -> Tensor:
        """[N, …] → [N]."""
        inputs = self._normalized(inputs)
        return novelty(self.predictor(inputs), self._target(inputs))

    def _normalized(self, inputs: Tensor) -> Tensor:
        return ((inputs - self._mean) / self._std).clamp_(-CLIP, CLIP)

    def distill(self, sample: Sample) -> LossTerm:
        """The predictor's loss on a fresh draw of the sample's transitions, resets among them."""
        assert sample.bonuses is not None
        drawn = torch.rand(sample.steps.valid.shape, generator=self._generator) < self.settings.update_proportion
        drawn = drawn.to(self._device)
        if not self.settings.on_replayed:
            drawn &= ~sample.replayed
        inputs = self._normalized(sample.bonuses.inputs[drawn])
        with self._autocast():
            with torch.no_grad():
                target = self._target(inputs)
            return rnd_loss(self.predictor(inputs), target)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._device.type, self._precision, enabled=self._precision != torch.float32)

    def follow(self) -> None:
        """An epoch has ended."""
        self._view.follow()

    def state_dict(self) -> dict[str, Any]:
        """Both networks, moments, and what the view has."""
        return {
            "predictor": named_arrays(self.predictor),
            "target": named_arrays(self._target),
            "moments": self._moments.state_dict(),
            "filter": self._statistics.state_dict(),
            "view": self._view.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state` was taken.

        Raises:
          ValueError: the state of other networks.
        """
        for network, name in ((self.predictor, "predictor"), (self._target, "target")):
            check_fits(network, state[name])
            load_arrays(network, state[name])
        self._moments.load_state_dict(state["moments"])
        self._statistics.load_state_dict(state["filter"])
        self._view.load_state_dict(state["view"])
        self._follow_moments()


def _as_inputs_lie(values: Tensor) -> Tensor:
    """The same, channels-last in memory if they are images [C, H, W], as `InputView`s give those."""
    return values.movedim(0, -1).contiguous().movedim(-1, 0) if values.ndim == 3 else values
