"""What the loop of a run drives, whichever wiring it has."""

from collections.abc import Callable
from typing import Protocol

from rl_platform.runtime.checkpoint import State
from rl_platform.runtime.evaluators import Evaluator


class Training(Protocol):
    """Rollouts, replay and learning under way. It tells its `Run` what happens."""

    evaluator: Evaluator
    """Who plays the games of evaluations beside it."""

    def step(self) -> None:
        """Go on until something has happened; returns within about half a second.

        Raises:
          RuntimeError: something failed that cannot be mended.
        """

    def ask_for_state(self, deliver: Callable[[State], None]) -> None:
        """Have the learner's full state delivered, in one of the next steps, without holding the learner up."""

    def ask_for_checkpoint(self, deliver: Callable[[State], None]) -> None:
        """The same, together with the state of the replay sources."""

    def end(self) -> State | None:
        """Begin nothing more, finish the updates under way; returns the last state of learner and replay sources.

        None: the run was asked to stop while its learner was beginning anew from nothing.
        """

    def rescue(self) -> State | None:
        """After a failure: what can still be had of it; None if nothing was learned or all is lost."""
