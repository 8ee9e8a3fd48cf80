"""Who plays the games of an evaluation within a run: here the run's own process, in `ray_evaluator` an actor."""

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from functools import partial
from typing import Protocol

import numpy as np
import torch

from configs.schema import Config
from rl_platform.core.types import Episode
from rl_platform.runtime.checkpoint import State
from rl_platform.runtime.evaluation import GivenUpError, Plan, play_games

_LAST_STEP_S = 2.0
"""How long a thread may take, at the end of the run, for the step that it is in."""

Outcome = Future[tuple[Episode, ...]]


class EvaluationError(Exception):
    """An evaluation came to nothing; the text is one line with the reason."""


class Evaluator(Protocol):
    """Plays the games of one evaluation at a time."""

    def begin(self, state: State, plan: Plan) -> None:
        """Play with the weights of a learner's state."""

    def finished(self, wait_s: float = 0.0) -> bool:
        """Whether the games have ended, one way or the other; waits at most so long for it."""

    def episodes(self) -> tuple[Episode, ...]:
        """What was played, once finished; EvaluationError, or GivenUpError if the run was ending."""

    def give_up(self) -> None:
        """Leave the games that were begun, without waiting for them; others may be begun."""

    def close(self) -> None:
        """The run ends: leave everything."""


def local_evaluator(config: Config, *, run_is_ending: Callable[[], bool]) -> Evaluator:
    """The evaluator of an inline run: in place for a serial one, a thread for an overlapped one."""
    if config.cluster.pipeline == "serial":
        return InPlaceEvaluator(config, run_is_ending=run_is_ending)
    return ThreadEvaluator(config)


class InPlaceEvaluator:
    """Plays while everything else waits; leaves the global random generators as they were.

    Args:
      run_is_ending: asked after every step, for nobody else can end the games.
    """

    def __init__(self, config: Config, *, run_is_ending: Callable[[], bool]):
        self._config, self._run_is_ending = config, run_is_ending
        self._outcome: Outcome = Future()

    def begin(self, state: State, plan: Plan) -> None:
        self._outcome = Future()
        with random_state_kept():
            _settle(self._outcome, partial(play_games, self._config, state, plan, given_up=self._run_is_ending))

    def finished(self, wait_s: float = 0.0) -> bool:
        return self._outcome.done()

    def episodes(self) -> tuple[Episode, ...]:
        return _episodes(self._outcome)

    def give_up(self) -> None:
        """There is nothing: `begin` returns when the games have ended."""

    def close(self) -> None:
        """There is nothing to leave."""


class ThreadEvaluator:
    """Plays beside everything else, each evaluation in a thread of its own.

    A daemon: an environment that never returns is left behind, and does not keep the process from ending.
    """

    def __init__(self, config: Config):
        self._config = config
        self._outcome: Outcome = Future()
        self._given_up = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, state: State, plan: Plan) -> None:
        self._outcome, self._given_up = Future(), threading.Event()
        games = partial(play_games, self._config, state, plan, given_up=self._given_up.is_set)
        self._thread = threading.Thread(target=_settle, args=(self._outcome, games), name="evaluation", daemon=True)
        self._thread.start()

    def finished(self, wait_s: float = 0.0) -> bool:
        return bool(wait([self._outcome], timeout=wait_s).done)

    def episodes(self) -> tuple[Episode, ...]:
        return _episodes(self._outcome)

    def give_up(self) -> None:
        self._given_up.set()

    def close(self) -> None:
        """Waits for the step under way, since a thread still in C++ when Python ends can crash the process."""
        self.give_up()
        if self._thread is not None:
            self._thread.join(_LAST_STEP_S)


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Give the global generators of Python, NumPy and PyTorch back as they were found."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def _settle(outcome: Outcome, games: Callable[[], tuple[Episode, ...]]) -> None:
    try:
        outcome.set_result(games())
    except Exception as error:  # whatever an environment's author liked to raise
        outcome.set_exception(error)


def _episodes(outcome: Outcome) -> tuple[Episode, ...]:
    error = outcome.exception()
    if error is None or isinstance(error, GivenUpError):
        return outcome.result()
    raise EvaluationError(f"{type(error).__name__}: {' '.join(str(error).split())}") from error
