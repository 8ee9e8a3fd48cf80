"""Playing whole games with a fixed policy."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from actors.episodes import EpisodeStatistics
from rl_platform.core.interfaces import Policy, StepResult, VectorEnv
from rl_platform.core.types import Episode

Witness = Callable[[StepResult, np.ndarray], None]
"""Takes a step, and in which environments [N] it belongs to a game that is kept."""


def play(policy: Policy, env: VectorEnv, *, greedy: bool) -> Iterator[tuple[np.ndarray, StepResult]]:
    """Actions [N] and what came of them, for ever."""
    observation, is_first = env.reset(), np.ones(env.num_envs, bool)
    memory = policy.initial_memory(env.num_envs)
    while True:
        choice = policy.act(observation, is_first, memory, greedy=greedy)
        step = env.step(choice.action)
        if step.faults:
            raise RuntimeError(f"an environment failed during the evaluation: {step.faults[0]}")
        yield choice.action, step
        observation, is_first, memory = step.observation, step.is_first, choice.memory


class Games:
    """Keeps the first games of each environment, `episodes` in all.

    How many an environment plays is decided beforehand: taking the first games to finish would favour the short ones.

    Args:
      witness: told of every step.
    """

    def __init__(self, episodes: int, num_envs: int, witness: Witness = lambda step, kept: None):
        self._witness = witness
        self._left = np.full(num_envs, episodes // num_envs)
        self._left[: episodes % num_envs] += 1
        self._statistics = EpisodeStatistics(num_envs, task=np.zeros(num_envs, np.int32))
        self.played: list[Episode] = []

    def watch(self, stream: Iterator[tuple[np.ndarray, StepResult]]) -> Iterator[tuple[np.ndarray, StepResult]]:
        """Pass the stream on until the last game that counts has ended."""
        for action, step in stream:
            self._witness(step, self._left > 0)
            for episode in self._statistics.add(step):
                if self._left[episode.env]:
                    self.played.append(episode)
                    self._left[episode.env] -= 1
            yield action, step
            if not self._left.any():
                return


def mean_and_error(episodes: Sequence[Episode]) -> tuple[float, float]:
    """Mean raw return, and its standard error (NaN for a single episode)."""
    returns = np.array([episode.episode_return for episode in episodes])
    error = returns.std(ddof=1) / np.sqrt(len(returns)) if len(returns) > 1 else float("nan")
    return float(returns.mean()), float(error)
