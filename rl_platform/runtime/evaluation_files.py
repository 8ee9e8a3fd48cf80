"""What an evaluation leaves in the run's folder: `eval/<env_steps>.json`, and the best state in `best/<env_steps>/`."""

import math
import threading
from pathlib import Path
from typing import Any, NamedTuple

from rl_platform.runtime.checkpoint import CheckpointError, State, load_newest, save_checkpoint
from rl_platform.runtime.evaluation import write_findings
from rl_platform.runtime.run_log import log


class Best(NamedTuple):
    """The highest mean return of a run's evaluations, and the env steps of the state that reached it."""

    return_mean: float
    env_steps: int


NONE_YET = Best(-math.inf, 0)


class EvaluationFiles:
    """Writes in the background, one after the other, so that a slow disk keeps nobody waiting.

    Args:
      directory: the run's folder.
    """

    def __init__(self, directory: Path):
        self._directory = directory
        self._newest: threading.Thread | None = None

    def write(self, env_steps: int, content: dict[str, Any], best_state: State | None) -> None:
        """Write what was found (`evaluation.findings`), and the state if it is the best: it takes the former's place.

        In `best/`, the findings are the checkpoint's section `evaluation`.
        """
        arguments = (self._newest, self._directory, env_steps, content, best_state)
        self._newest = threading.Thread(target=_write, args=arguments, name="evaluation writer", daemon=True)
        self._newest.start()

    def busy(self) -> bool:
        """Whether something is being written."""
        return self._newest is not None and self._newest.is_alive()

    def close(self, wait_s: float) -> None:
        """Wait for what is being written, at most so long."""
        if self._newest is not None:
            self._newest.join(wait_s)

    def best(self) -> Best:
        """What an earlier launch of the run kept."""
        try:
            found = load_newest(self._directory / "best", log.warning)
        except CheckpointError as error:
            log.warning("%s: the next evaluation replaces it", error)
            return NONE_YET
        return NONE_YET if found is None else Best(found[1]["evaluation"]["mean"], int(found[1]["env_steps"]))


def _write(before: threading.Thread | None, directory: Path, env_steps: int, content: dict[str, Any],
           best_state: State | None) -> None:  # fmt: skip
    if before is not None:
        before.join()
    try:
        (directory / "eval").mkdir(exist_ok=True)
        write_findings(directory / "eval" / f"{env_steps}.json", content)
        if best_state is not None:
            save_checkpoint(directory / "best", best_state | {"evaluation": content}, env_steps=env_steps, keep=1)
    except OSError as error:
        log.error("the evaluation at %d env steps was not written whole (%s)", env_steps, error)
