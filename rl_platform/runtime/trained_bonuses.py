"""Exploration bonuses of a trained state: what the observations that whole games lead to are worth to it."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from configs.schema import Config
from learners.exploration.rnd import RandomNetworkDistillation
from learners.ranks import ONE_RANK
from rl_platform.core.interfaces import StepResult
from rl_platform.runtime.build_exploration import make_rnd
from rl_platform.runtime.checkpoint import State
from rl_platform.runtime.errors import InputError, blaming
from rl_platform.runtime.load import MISFIT, make_trained_network
from rl_platform.runtime.preflight import environment_spec


def make_trained_rnd(config: Config, state: State) -> RandomNetworkDistillation | None:
    """What gives the bonuses in a checkpoint, on the CPU; None: the run has none.

    Raises:
      InputError: the checkpoint is not of the networks that the config describes.
    """
    if config.learner.rnd is None:
        return None
    spec = environment_spec(config)
    rnd = make_rnd(config, spec, make_trained_network(config, spec, state), torch.device("cpu"), ONE_RANK)
    assert rnd is not None
    if "rnd" not in state:
        raise InputError(f"{MISFIT}: it holds no bonuses, and learner.rnd is set")
    with blaming(MISFIT, ValueError):
        rnd.load_state_dict(state["rnd"])
    return rnd


class GameBonus(NamedTuple):
    """Bonuses of one game, normalised as the checkpoint does."""

    mean: float
    """Of a step."""
    total: float


class BonusWatch:
    """Adds up bonuses over the games that N environments play: a witness of `Games`.

    Args:
      judge: observations [1, N, …] → bonuses [1, N]; `RandomNetworkDistillation.judge`.
    """

    def __init__(self, judge: Callable[[torch.Tensor], torch.Tensor], num_envs: int):
        self._judge = judge
        self._sums, self._lengths = np.zeros(num_envs), np.zeros(num_envs, np.int64)
        self._first_is_over = False
        self.games: list[GameBonus] = []
        """Of the games that are kept, in the order of their ends."""
        self.first: list[float] = []
        """Of each step of the first environment's first game."""

    def add(self, step: StepResult, kept: np.ndarray) -> None:
        """Take in one step of every environment, of which those count where `kept` [N] is true."""
        bonuses = self._judge(torch.from_numpy(step.observation)[None])[0].numpy(force=True)
        self._sums += np.where(step.valid, bonuses, 0.0)
        self._lengths += step.valid
        if step.valid[0] and not self._first_is_over:
            self.first.append(float(bonuses[0]))
        self._first_is_over |= bool(step.episode_end[0])
        self._end(np.flatnonzero(step.episode_end & kept))
        fresh = step.episode_end | step.is_first
        self._sums[fresh], self._lengths[fresh] = 0.0, 0

    def _end(self, ended: np.ndarray) -> None:
        for total, length in zip(self._sums[ended].tolist(), self._lengths[ended].tolist(), strict=True):
            self.games.append(GameBonus(total / length, total))
