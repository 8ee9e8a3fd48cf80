"""The learner: batches in, weights out. Plain Python; knows nothing of where it runs."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from learners.gradients import GradientBlock, clip_by_norm
from learners.objective import METRICS, Estimates, VtraceSettings, vtrace_estimates, vtrace_objective
from learners.optimizer import FlatOptimizer, OptimizerFactory
from learners.ranks import ONE_RANK, Ranks
from learners.state import check_fits, load_arrays, named_arrays
from learners.totals import Bookkeeping, Totals, sum_totals
from learners.transfer import BatchTransfer
from rl_platform.core.distributions import ActionDistribution
from rl_platform.core.flat import FlatParameters
from rl_platform.core.frames import stack_frames
from rl_platform.core.schedule import Schedule
from rl_platform.core.types import Batch, Progress, Trajectory, UpdateInfo, Weights


class _Outcome(NamedTuple):
    """Of one update, the same on every rank."""

    applied: bool
    skipped: bool
    env_steps: int
    """To be committed."""
    metrics: dict[str, float]


class Learner:
    """Trains a network on batches, one update each, alone or together with learners in other processes.

    Every rank takes the same step, that of the ranks' columns put together: they add up what their batches count, each
    forms the gradient of its own part, and they add up these. An update whose loss or gradient is not finite changes
    neither parameters nor optimiser; it is counted, its env steps are committed and its version published like any
    other's. One for which no rank has a valid transition is no step either, but does not count as skipped.

    Args:
      model: as `models.actor_critic.ActorCritic`; owned from here on. Returns, gradients and optimiser have its dtype.
        Ranks must start from equal parameters.
      learning_rate, entropy_weight: on committed env steps, this update's not yet among them.
      gradient_clip: largest norm of the whole gradient; None: no bound.
      frame_stack: S; observations of a batch are single frames if it exceeds 1.
      precision: of the forward and backward pass; float32 leaves both in the model's dtype.
    """

    def __init__(self, model: nn.Module, distribution: ActionDistribution, settings: VtraceSettings, *,
                 optimizer: OptimizerFactory, learning_rate: Schedule, entropy_weight: Schedule,
                 gradient_clip: float | None, frame_stack: int, precision: torch.dtype,
                 device: torch.device | str = "cpu", ranks: Ranks = ONE_RANK):  # fmt: skip
        self._device = torch.device(device)
        self._ranks = ranks
        self._model = model.to(self._device)
        self._flat = FlatParameters(self._model)
        self._gradients = GradientBlock(self._flat.vector, len(METRICS))
        self._flat.send_gradients_to(self._gradients.main)
        self._optimizer = FlatOptimizer(optimizer, self._flat.vector, self._gradients.main)
        self._transfer = BatchTransfer(self._device)
        self._distribution, self._settings = distribution, settings
        self._learning_rate, self._entropy_weight = learning_rate, entropy_weight
        self._max_norm = math.inf if gradient_clip is None else gradient_clip
        self._frame_stack, self._precision = frame_stack, precision
        self._env_steps = self._updates = self._version = self._skipped = 0

    def update(self, batch: Batch | None) -> UpdateInfo:
        """One gradient step on every rank's batch; this one's arrays are only read.

        Raises:
          RuntimeError: another rank is dead or late. Nothing has changed here, but the ranks must meet anew.
        """
        learning_rate = self._learning_rate(self._env_steps)
        estimates = None if batch is None else self._estimates(batch.steps)
        tallies = None if estimates is None else estimates.tallies
        totals = sum_totals(self._ranks, batch, tallies, version=self._version, device=self._device)
        outcome = self._outcome(totals, self._sum_gradients(estimates, totals))
        if outcome.applied:
            self._optimizer.step(learning_rate)
        self._updates += 1
        self._version += 1
        self._skipped += outcome.skipped
        self._env_steps += outcome.env_steps
        return UpdateInfo(
            version=self._version,
            updates=self._updates,
            env_steps=self._env_steps,
            skipped=outcome.skipped,
            metrics=outcome.metrics | {"learning_rate": learning_rate},
            columns_dropped=0 if batch is None else batch.columns_dropped,
            had_batch=batch is not None,
        )

    def _estimates(self, columns: Trajectory) -> Estimates:
        steps = self._transfer.to_time_major(columns)
        observation = steps.observation
        if self._frame_stack > 1:
            observation = stack_frames(observation, steps.is_first, self._frame_stack)
        with torch.autocast(self._device.type, self._precision, enabled=self._precision != torch.float32):
            output = self._model(observation, steps.is_first, steps.memory)
        return vtrace_estimates(params=output.params, values=output.values, steps=steps,
                                distribution=self._distribution, settings=self._settings)  # fmt: skip

    def _sum_gradients(self, estimates: Estimates | None, totals: Totals) -> Tensor:
        """Fill the gradient block with the sum over ranks, the gradient clipped; returns its norm before that []."""
        self._gradients.clear()
        if estimates is not None:
            objective = vtrace_objective(estimates, totals.tallies, distribution=self._distribution,
                                         settings=self._settings,
                                         entropy_weight=self._entropy_weight(self._env_steps))  # fmt: skip
            objective.loss.backward()
            torch.stack([objective.metrics[name] for name in METRICS], out=self._gradients.metrics)
        self._gradients.sum_over(self._ranks)
        return clip_by_norm(self._gradients.main, self._max_norm)

    def _outcome(self, totals: Totals, norm: Tensor) -> _Outcome:
        """Read off the device what decides and what is shown: the only wait for it."""
        parts = (totals.tallies.steps[None], norm[None], self._gradients.metrics, totals.bookkeeping)
        steps, norm, *rest = torch.cat([part.double() for part in parts]).tolist()
        metrics = dict(zip(METRICS, rest, strict=False)) | {"gradient_norm": norm}
        env_steps, policy_lag = Bookkeeping.of(rest[len(METRICS) :])
        if not steps:
            return _Outcome(applied=False, skipped=False, env_steps=env_steps, metrics=policy_lag)
        finite = math.isfinite(metrics["loss/total"]) and math.isfinite(norm)
        return _Outcome(applied=finite, skipped=not finite, env_steps=env_steps, metrics=metrics | policy_lag)

    def weights(self) -> Weights:
        """A copy of the present weights."""
        return Weights(self._version, self._flat.numpy())

    def progress(self) -> Progress:
        """How far it has come."""
        return Progress(self._version, self._updates, self._env_steps)

    def continue_at(self, version: int) -> None:
        """Publish the present weights, and count on, from `version`: after a restart, one that was never used.

        Loading a state takes the version back to the number of updates.
        """
        assert version >= self._version, (version, self._version)
        self._version = version

    def state_dict(self) -> dict[str, Any]:
        """Everything that updates change, as NumPy arrays and numbers; parameters by name."""
        return {
            "model": named_arrays(self._model),
            "optimizer": self._optimizer.state_dict(),
            "env_steps": self._env_steps,
            "updates": self._updates,
            "updates_skipped": self._skipped,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue exactly where `state` was taken; the version is the number of updates, until `continue_at`.

        Raises:
          ValueError: the state of another network or optimiser.
        """
        check_fits(self._model, state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        load_arrays(self._model, state["model"])
        self._env_steps, self._updates = int(state["env_steps"]), int(state["updates"])
        self._version, self._skipped = self._updates, int(state["updates_skipped"])
