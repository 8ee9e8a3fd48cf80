"""One gradient step, the same on every rank."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from learners.estimates import Estimates, NetworkOutputs, estimate, estimate_returns, join, network_outputs
from learners.exploration.rnd import RandomNetworkDistillation
from learners.gradients import GradientBlock, clip_by_norm
from learners.objective import metric_names, objective
from learners.optimizer import FlatOptimizer, OptimizerFactory
from learners.parts import MAX_ROWS
from learners.ranks import Ranks
from learners.sample import Sample, as_transitions, in_columns, with_returns
from learners.settings import LearnerSettings
from learners.terms import Coefficients
from learners.totals import Tallies, Totals, sum_totals
from rl_platform.core.distributions import ActionDistribution
from rl_platform.core.flat import FlatParameters


class StepOutcome(NamedTuple):
    """Of one gradient step, the same on every rank."""

    applied: bool
    skipped: bool
    """There was something to learn, but loss or gradient was not finite."""
    metrics: dict[str, float]
    counts: list[float]
    """[K] added up over the ranks."""


class GradientStep:
    """Moves a network's parameters along the gradient of the ranks' samples put together.

    The ranks add up what their samples count, each forms the gradient of its own part of the objective, and they add
    up these. A step whose loss or gradient is not finite changes neither parameters nor optimiser; nor does one for
    which no rank has a step to learn from.

    Args:
      model: owned by the learner; its parameters are `parameters`.
      target: IMPACT's target network, None for other objectives.
      rnd: where bonuses come from, its predictor among the parameters; None: there are none.
    """

    def __init__(self, model: nn.Module, parameters: FlatParameters, target: nn.Module | None,
                 distribution: ActionDistribution, settings: LearnerSettings, *, optimizer: OptimizerFactory,
                 gradient_clip: float | None, precision: torch.dtype, device: torch.device,
                 ranks: Ranks, rnd: RandomNetworkDistillation | None = None):  # fmt: skip
        self._model, self._target, self._rnd = model, target, rnd
        self._distribution, self._settings = distribution, settings
        self._names = metric_names(settings)
        self._gradients = GradientBlock(parameters.vector, len(self._names))
        parameters.send_gradients_to(self._gradients.main)
        self._optimizer = FlatOptimizer(optimizer, parameters.vector, self._gradients.main)
        self._max_norm = math.inf if gradient_clip is None else gradient_clip
        self._precision, self._device, self._ranks = precision, device, ranks

    def __call__(self, sample: Sample | None, counts: Sequence[float], *, learning_rate: float,
                 coefficients: Coefficients) -> StepOutcome:  # fmt: skip
        """Take the step; with no sample (None) the others'.

        Args:
          counts: [K] to be added up over the ranks on this occasion.

        Raises:
          RuntimeError: another rank is dead or late. Nothing has changed here, but the ranks must meet anew.
        """
        estimates = None if sample is None else self._estimates(sample)
        tallies = None if estimates is None else estimates.tallies
        totals = sum_totals(self._ranks, tallies, counts, device=self._device)
        norm = self._sum_gradients(estimates, totals, coefficients)
        outcome = self._outcome(totals, norm)
        if outcome.applied:
            self._optimizer.step(learning_rate)
        return outcome

    def fix_returns(self, sample: Sample) -> Sample:
        """The sample with the present weights' returns for all further steps; shuffled freely if there is no memory."""
        with torch.no_grad():
            outputs = join(map(self._run_network, in_columns(sample, MAX_ROWS)))
        returns = estimate_returns(outputs, sample, distribution=self._distribution, settings=self._settings)
        sample = with_returns(sample, returns)
        return sample if self._model.memory_size else as_transitions(sample)

    def _estimates(self, sample: Sample) -> Estimates:
        return estimate(sample, self._run_network(sample), distribution=self._distribution, settings=self._settings,
                        distillation=None if self._rnd is None else self._rnd.distill(sample))  # fmt: skip

    def _run_network(self, sample: Sample) -> NetworkOutputs:
        steps, target_params = sample.steps, None
        with torch.autocast(self._device.type, self._precision, enabled=self._precision != torch.float32):
            output = self._model(steps.observation, steps.is_first, steps.memory)
            if self._target is not None:
                with torch.no_grad():
                    target_params = self._target(steps.observation, steps.is_first, steps.memory).params
        return network_outputs(params=output.params, values=output.values, steps=steps, distribution=self._distribution,
                               target_params=target_params)  # fmt: skip

    def _sum_gradients(self, estimates: Estimates | None, totals: Totals, coefficients: Coefficients) -> Tensor:
        """Fill the gradient block with the sum over ranks, the gradient clipped; returns its norm before that []."""
        self._gradients.clear()
        if estimates is not None:
            own = objective(estimates, totals.tallies, distribution=self._distribution, settings=self._settings,
                            coefficients=coefficients)  # fmt: skip
            own.loss.backward()
            torch.stack([own.metrics[name] for name in self._names], out=self._gradients.metrics)
        self._gradients.sum_over(self._ranks)
        return clip_by_norm(self._gradients.main, self._max_norm)

    def _outcome(self, totals: Totals, norm: Tensor) -> StepOutcome:
        """Read off the device what decides and what is shown: the one wait for it (a draw for bonuses is another)."""
        parts = (torch.stack(totals.tallies), norm[None], self._gradients.metrics, totals.counts)
        read = torch.cat([part.double() for part in parts]).cpu().split([len(part) for part in parts])
        tallied, (gradient_norm,), shown, counts = (part.tolist() for part in read)
        tallies = Tallies(*tallied)
        metrics = self._acceptance(tallies)
        if not tallies.steps:
            return StepOutcome(applied=False, skipped=False, metrics=metrics, counts=counts)
        named = zip(self._names, shown, strict=True)
        metrics |= {name: value for name, value in named if _is_known(name, tallies)}
        metrics["gradient_norm"] = gradient_norm
        finite = math.isfinite(metrics["loss/total"]) and math.isfinite(gradient_norm)
        return StepOutcome(applied=finite, skipped=not finite, metrics=metrics, counts=counts)

    def _acceptance(self, tallies: Tallies) -> dict[str, float]:
        """The share of steps that are relevant, of all and of replayed ones."""
        if self._settings.relevance is None:
            return {}
        shares = {"accept_rate": (tallies.steps, tallies.offered),
                  "accept_rate_replayed": (tallies.replayed, tallies.offered_replayed)}  # fmt: skip
        return {name: part / whole for name, (part, whole) in shares.items() if whole}

    def state_dict(self) -> dict[str, Any]:
        """The optimiser's."""
        return self._optimizer.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue exactly where `state` was taken.

        Raises:
          ValueError: the state of another kind of optimiser, or of another network's.
        """
        self._optimizer.load_state_dict(state)


def _is_known(name: str, tallies: Tallies) -> bool:
    """Whether there was a step for the metric to be a mean over."""
    if name == "kl_to_behaviour_replayed":
        return tallies.offered_replayed > 0
    if name == "loss/rnd":
        return tallies.distilled > 0
    return tallies.replayed > 0 or not name.endswith("_replayed")


def mean_metrics(outcomes: list[StepOutcome]) -> dict[str, float]:
    """Each metric's mean over the steps that show it."""
    names = dict.fromkeys(name for outcome in outcomes for name in outcome.metrics)
    shown = {name: [outcome.metrics[name] for outcome in outcomes if name in outcome.metrics] for name in names}
    return {name: sum(values) / len(values) for name, values in shown.items()}
