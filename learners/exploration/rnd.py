"""Random network distillation (Burda et al. 2019): how wrong a network is about another, random one, is how new a
state is."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from learners.exploration.episode_sums import EpisodeSums
from learners.exploration.inputs import InputView
from learners.exploration.return_filter import ReturnFilter
from learners.exploration.settings import RndSettings
from learners.losses.rnd import novelty, rnd_loss
from learners.losses.term import LossTerm
from learners.minibatches import Bonuses, Sample
from learners.moments import RunningMoments
from learners.ranks import Ranks
from learners.state import check_fits, load_arrays, named_arrays
from rl_platform.core.seeding import derive_seed
from rl_platform.core.types import Batch

CLIP = 5.0
"""Normalised inputs are clipped to ± this."""
_MAX_INPUTS = 1024
"""Largest batch of one forward pass."""


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
        self._filter, self._episodes = ReturnFilter(settings.discount), EpisodeSums()
        self._ranks, self._seed = ranks, seed
        self._generator = torch.Generator()
        self._follow_moments()

    def _follow_moments(self) -> None:
        shape = self._view.shape
        dtype = next(self.predictor.parameters()).dtype
        self._mean, self._std = (torch.from_numpy(values).to(self._device, dtype).view(shape)
                                 for values in (self._moments.mean, self._moments.std))  # fmt: skip

    def is_warming_up(self, updates: int) -> bool:
        """Whether, after so many updates, only the inputs' moments are learned."""
        return updates < self.settings.init_updates

    def warm_up(self, sample: Sample | None) -> None:
        """Let new inputs enter the moments. Every rank takes part, those without a batch (None) with nothing.

        Raises:
          RuntimeError: another rank is dead or late.
        """
        sums = self._moments.sums(None if sample is None else self._new(sample, self._inputs(sample)))
        (sums,) = self._sum_over_ranks([sums])
        self._moments.add(sums)
        self._follow_moments()

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
        moments, returns, shown = self._moments.sums(None), np.zeros(3), np.zeros(5)
        if sample is not None and batch is not None:
            inputs = self._inputs(sample)
            raw = self._raw_bonuses(inputs)
            moments = self._moments.sums(self._new(sample, inputs))
            returns, shown = self._of_streams(raw.numpy(force=True).T.astype(np.float64), batch)
        moments, returns, shown = self._sum_over_ranks([moments, returns, shown])
        self._moments.add(moments)
        self._filter.add(returns)
        self._follow_moments()
        if sample is not None:
            sample = sample._replace(bonuses=Bonuses(raw / self._filter.std, inputs))
        return sample, self._metrics(*shown.tolist())

    def judge(self, observation: Tensor) -> Tensor:
        """Normalised bonuses [T, B] for leading to these observations [T, B, …]; nothing learns from it."""
        return self._raw_bonuses(self._seen(observation)) / self._filter.std

    def _inputs(self, sample: Sample) -> Tensor:
        """What the networks read of the observations that transitions lead to [T, B, …]."""
        return self._seen(sample.steps.observation[1:])

    def _seen(self, observation: Tensor) -> Tensor:
        with self._autocast():
            return self._view(observation)

    def _new(self, sample: Sample, inputs: Tensor) -> Tensor:
        """The inputs of online columns [n, D]: replayed ones have been counted."""
        return inputs[:, ~sample.replayed].reshape(-1, self._mean.numel())

    def _of_streams(self, raw: np.ndarray, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """What ranks add up, of bonuses [B, T]: for the filter [3] and for `_metrics` [5]."""
        steps, online = batch.steps, batch.online
        bonuses, origin = raw[online], batch.origin[online]
        rewards = np.where(steps.valid, steps.reward, 0.0)[online]
        of_episodes = self._episodes.add(bonuses, steps.is_first[online], origin)
        shown = np.array([bonuses.size, bonuses.sum(), rewards.sum(), *of_episodes])
        return self._filter.sums(bonuses, origin), shown

    def _metrics(self, steps: float, bonuses: float, rewards: float, episodes: float,
                 of_episodes: float) -> dict[str, float]:  # fmt: skip
        """Means over the online steps, and over the episodes that ended among them; bonuses as they are learned from
        but for `bonus_raw_mean`."""
        std = self._filter.std
        metrics = {"bonus_scale": std}
        if steps:
            metrics |= {"bonus_raw_mean": bonuses / steps, "bonus_mean": bonuses / steps / std,
                        "reward_mean": rewards / steps}  # fmt: skip
        return metrics | ({"episode_bonus_mean": of_episodes / episodes / std} if episodes else {})

    def _sum_over_ranks(self, parts: list[np.ndarray]) -> list[np.ndarray]:
        """Each added up over the ranks, in one collective."""
        sums = torch.from_numpy(np.concatenate(parts)).to(self._device)
        self._ranks.sum(sums)
        return np.split(sums.numpy(force=True), np.cumsum([len(part) for part in parts])[:-1])

    @torch.no_grad()
    def _raw_bonuses(self, inputs: Tensor) -> Tensor:
        """[T, B] float32."""
        parts = inputs.flatten(0, 1).split(_MAX_INPUTS)
        with self._autocast():
            errors = [novelty(self.predictor(part), self._target(part)) for part in map(self._normalized, parts)]
        return torch.cat(errors).view(inputs.shape[:2])

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
            "filter": self._filter.state_dict(),
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
        self._filter.load_state_dict(state["filter"])
        self._view.load_state_dict(state["view"])
        self._follow_moments()
