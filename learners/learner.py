"""The learner: batches in, weights out. Plain Python; knows nothing of where it runs."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from learners.gradients import clip_by_norm
from learners.objective import Objective, VtraceSettings, vtrace_objective
from learners.optimizer import FlatOptimizer, OptimizerFactory
from learners.transfer import to_time_major
from rl_platform.core.distributions import ActionDistribution
from rl_platform.core.flat import FlatParameters
from rl_platform.core.frames import stack_frames
from rl_platform.core.schedule import Schedule
from rl_platform.core.types import Batch, Trajectory, UpdateInfo, Weights


class Learner:
    """Trains a network on batches, one update each.

    An update whose loss or gradient is not finite changes neither parameters nor optimiser; it is counted, its env
    steps are committed and its version published like any other's.

    Args:
      model: as `models.actor_critic.ActorCritic`, in float32; owned from here on.
      learning_rate, entropy_weight: on committed env steps, this update's not yet among them.
      gradient_clip: largest norm of the whole gradient; None: no bound.
      frame_stack: S; observations of a batch are single frames if it exceeds 1.
      precision: of the forward and backward pass; parameters, returns and optimiser are float32.
    """

    def __init__(self, model: nn.Module, distribution: ActionDistribution, settings: VtraceSettings, *,
                 optimizer: OptimizerFactory, learning_rate: Schedule, entropy_weight: Schedule,
                 gradient_clip: float | None, frame_stack: int, precision: torch.dtype,
                 device: torch.device | str = "cpu"):  # fmt: skip
        self._device = torch.device(device)
        self._model = model.to(self._device)
        self._flat = FlatParameters(self._model, with_gradient=True)
        self._optimizer = FlatOptimizer(optimizer, self._flat.vector, self._flat.gradient)
        self._distribution, self._settings = distribution, settings
        self._learning_rate, self._entropy_weight = learning_rate, entropy_weight
        self._max_norm = math.inf if gradient_clip is None else gradient_clip
        self._frame_stack, self._precision = frame_stack, precision
        self._env_steps = self._updates = self._skipped = 0

    def update(self, batch: Batch) -> UpdateInfo:
        """One gradient step on `batch`, whose arrays are only read."""
        learning_rate = self._learning_rate(self._env_steps)
        norm, objective = self._gradient(batch.steps)
        metrics = _floats(objective.metrics | {"gradient_norm": norm})  # the only wait for the device
        finite = math.isfinite(metrics["loss/total"]) and math.isfinite(metrics["gradient_norm"])
        if finite:
            self._optimizer.step(learning_rate)
        metrics |= _lag(self._updates - batch.weight_version) | {"learning_rate": learning_rate}
        self._updates += 1
        self._skipped += not finite
        self._env_steps += batch.env_steps
        return UpdateInfo(
            version=self._updates,
            env_steps=self._env_steps,
            skipped=not finite,
            metrics=metrics,
            columns_dropped=batch.columns_dropped,
        )

    def _gradient(self, columns: Trajectory) -> tuple[Tensor, Objective]:
        """Fill the flat gradient, clipped; returns its norm before that [] and what it is the gradient of."""
        objective = self._objective(to_time_major(columns, self._device))
        self._flat.gradient.zero_()
        objective.loss.backward()
        return clip_by_norm(self._flat.gradient, self._max_norm), objective

    def _objective(self, steps: Trajectory) -> Objective:
        observation = steps.observation
        if self._frame_stack > 1:
            observation = stack_frames(observation, steps.is_first, self._frame_stack)
        with torch.autocast(self._device.type, self._precision, enabled=self._precision != torch.float32):
            output = self._model(observation, steps.is_first, steps.memory)
        return vtrace_objective(
            params=output.params,
            values=output.values,
            steps=steps,
            distribution=self._distribution,
            settings=self._settings,
            entropy_weight=self._entropy_weight(self._env_steps),
        )

    def weights(self) -> Weights:
        """A copy of the present weights."""
        return Weights(self._updates, self._flat.numpy())

    def state_dict(self) -> dict[str, Any]:
        """Everything that updates change, as NumPy arrays and numbers; parameters by name."""
        return {
            "model": {name: _array(parameter) for name, parameter in self._model.named_parameters()},
            "optimizer": self._optimizer.state_dict(),
            "env_steps": self._env_steps,
            "updates": self._updates,
            "updates_skipped": self._skipped,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue exactly where `state` was taken.

        Raises:
          ValueError: the state of another network or optimiser.
        """
        parameters = dict(self._model.named_parameters())
        _check_same(parameters, state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(torch.tensor(state["model"][name]))
        self._env_steps, self._updates = int(state["env_steps"]), int(state["updates"])
        self._skipped = int(state["updates_skipped"])


def _floats(metrics: dict[str, Tensor]) -> dict[str, float]:
    return dict(zip(metrics, torch.stack(list(metrics.values())).tolist(), strict=True))


def _lag(versions: np.ndarray) -> dict[str, float]:
    """Policy lag over columns: updates between the weights that acted and those that learn."""
    return {"policy_lag_mean": float(versions.mean()), "policy_lag_max": float(versions.max())}


def _array(parameter: Tensor) -> np.ndarray:
    return np.array(parameter.numpy(force=True), order="C")


def _check_same(parameters: dict[str, nn.Parameter], arrays: dict[str, np.ndarray]) -> None:
    present = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
    saved = {name: tuple(array.shape) for name, array in arrays.items()}
    different = sorted({name for name, _ in present.items() ^ saved.items()})
    if different:
        raise ValueError(f"the saved network differs in {different[0]}: keep the `model` section")
