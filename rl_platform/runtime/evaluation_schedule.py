"""Evaluations while a run trains: when one is due, and what comes of it."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from configs.schema import Config
from rl_platform.core.seeding import derive_seed
from rl_platform.core.types import Episode
from rl_platform.observability.evaluations import Evaluation
from rl_platform.runtime.checkpoint import State
from rl_platform.runtime.evaluation import GivenUpError, Plan, findings
from rl_platform.runtime.evaluation_files import NONE_YET, Best, EvaluationFiles
from rl_platform.runtime.evaluators import EvaluationError, Evaluator
from rl_platform.runtime.play import mean_and_error
from rl_platform.runtime.run_log import log

LAST_WAIT_S = 3.0
"""How long the end of a run waits for an evaluation under way, and again for what is being written."""

_ANSWER_S = 60.0
"""How long the learner may take to hand over its state; it may have died with the request."""


class Record(Protocol):
    """Where evaluations are told: the run."""

    def add_evaluation(self, evaluation: Evaluation) -> None: ...

    def add_failed_evaluation(self) -> None: ...

    def whole_state(self, learner_state: State) -> State:
        """What a checkpoint holds: the learner's state and the run's own."""


class _Trial(NamedTuple):
    """An evaluation under way."""

    state: State
    plan: Plan
    env_steps: int


class EvaluationSchedule:
    """Has the newest state evaluated every `run.eval.every_env_steps`, one at a time; called in the driver's thread.

    Results go to the record and to the run's files. An evaluation that fails, or takes longer than
    `run.eval.timeout_s`, is counted, and the next one comes when it is due.

    Args:
      directory: the run's folder.
      start_env_steps: 0, or those of the checkpoint that the run goes on from.
    """

    def __init__(self, config: Config, directory: Path, record: Record, evaluator: Evaluator, *,
                 start_env_steps: int = 0, clock: Callable[[], float] = time.monotonic):  # fmt: skip
        self._settings, self._run_seed = config.run.eval, config.run.seed
        self._record, self._evaluator, self._clock = record, evaluator, clock
        self._files = EvaluationFiles(directory)
        self._start = start_env_steps
        self._due = self._due_after(start_env_steps)
        # What a run that begins anew finds there is another run's.
        self._best = self._files.best() if start_env_steps else NONE_YET
        self._give_up_at: float | None = None  # set from the request for a state until the games have ended
        self._trial: _Trial | None = None
        self._closed = False

    def tick(self, env_steps: int, ask_for_state: Callable[[Callable[[State], None]], None]) -> None:
        """Begin an evaluation if one is due, and take in one that has ended. Waits for nobody.

        Args:
          env_steps: committed so far.
          ask_for_state: has its argument called, in this thread, now or soon, with the learner's state.
        """
        if env_steps >= self._due and self._give_up_at is None:
            self._due = self._due_after(env_steps)
            self._give_up_at = self._clock() + _ANSWER_S
            ask_for_state(self._begin)
        if self._trial is not None and self._evaluator.finished():
            self._conclude()
        elif self._give_up_at is not None and self._clock() >= self._give_up_at:
            self._give_up()

    def busy(self) -> bool:
        """Whether an evaluation is under way, or being written."""
        return self._give_up_at is not None or self._files.busy()

    def close(self, wait_s: float = LAST_WAIT_S) -> None:
        """The run ends: an evaluation under way has `wait_s` to finish. Before the run's records are closed."""
        self._closed = True
        if self._trial is not None and self._evaluator.finished(wait_s):
            self._conclude()
        elif self._trial is not None:
            log.info("the evaluation at %d env steps was not finished when the run ended", self._trial.env_steps)
        self._evaluator.close()
        self._files.close(LAST_WAIT_S)

    def _due_after(self, env_steps: int) -> float:
        """The next multiple of the interval, counted from where the run started or went on."""
        if self._settings is None:
            return math.inf
        every = self._settings.every_env_steps
        return self._start + every * ((env_steps - self._start) // every + 1)

    def _begin(self, state: State) -> None:
        if self._closed or self._trial is not None or self._give_up_at is None:
            return  # the late answer to a request that was given up
        env_steps = int(state["env_steps"])
        seed = derive_seed(self._run_seed, "evaluation", env_steps)
        plan = Plan(self._settings.episodes, self._settings.greedy, seed)
        self._trial = _Trial(self._record.whole_state(state), plan, env_steps)
        self._give_up_at = self._clock() + self._settings.timeout_s
        self._evaluator.begin(state, plan)

    def _give_up(self) -> None:
        trial, self._trial, self._give_up_at = self._trial, None, None
        if trial is None:
            self._fail(f"the learner did not hand over its state within {_ANSWER_S:g} s")
        else:
            self._evaluator.give_up()
            limit = f"run.eval.timeout_s ({self._settings.timeout_s:g} s)"
            self._fail(f"the games at {trial.env_steps} env steps took longer than {limit}")

    def _conclude(self) -> None:
        trial, self._trial, self._give_up_at = self._trial, None, None
        try:
            episodes = self._evaluator.episodes()
        except GivenUpError:
            log.info("the evaluation at %d env steps was not finished when the run ended", trial.env_steps)
        except EvaluationError as error:
            self._fail(f"at {trial.env_steps} env steps: {error}")
        else:
            self._take_in(trial, episodes)

    def _fail(self, reason: str) -> None:
        self._record.add_failed_evaluation()
        log.warning("an evaluation failed, and is repeated when the next is due: %s", reason)

    def _take_in(self, trial: _Trial, episodes: tuple[Episode, ...]) -> None:
        mean, standard_error = mean_and_error(episodes)
        if not math.isfinite(mean):
            self._fail(f"at {trial.env_steps} env steps: the mean return is {mean}")
            return
        is_best = mean > self._best.return_mean
        if is_best:
            self._best = Best(mean, trial.env_steps)
        self._record.add_evaluation(Evaluation(trial.env_steps, len(episodes), mean, standard_error, *self._best))
        note = ", the best so far" if is_best else ""
        log.info("evaluation at %d env steps: return %.2f ± %.2f (%d episodes)%s",
                 trial.env_steps, mean, standard_error, len(episodes), note)  # fmt: skip
        content = findings(str(trial.env_steps), trial.plan, episodes)
        self._files.write(trial.env_steps, content, trial.state if is_best else None)
