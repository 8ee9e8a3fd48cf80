"""`rl-platform eval`: whole games of a trained policy, their returns, and a video."""

import json
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gymnasium.error import DependencyNotInstalled

from configs.schema import Config
from rl_platform.core.interfaces import Policy, StepResult
from rl_platform.core.seeding import derive_seed, derive_seeds
from rl_platform.core.types import Episode
from rl_platform.observability.video import write_video
from rl_platform.runtime import build
from rl_platform.runtime.errors import blaming
from rl_platform.runtime.load import make_trained_policy, read_run
from rl_platform.runtime.play import Games, mean_and_error, play

_MAX_ENVS = 20
_EMULATOR_FPS = 60.0


@dataclass(frozen=True)
class Report:
    """What an evaluation found."""

    checkpoint: Path
    greedy: bool
    episodes: tuple[Episode, ...]
    mean: float
    standard_error: float
    video: Path | None

    def __str__(self) -> str:
        kind = "greedy" if self.greedy else "sampled"
        lines = [
            f"{len(self.episodes)} episodes ({kind} actions) of {self.checkpoint}",
            f"return: mean {self.mean:.2f} ± {self.standard_error:.2f} (standard error), "
            f"min {min(e.episode_return for e in self.episodes):g}, "
            f"max {max(e.episode_return for e in self.episodes):g}",
        ]
        return "\n".join(lines + ([f"video: {self.video}"] if self.video else []))


def evaluate_run(path: Path, *, episodes: int, greedy: bool, video: bool, seed: int | None = None) -> Report:
    """Play `episodes` whole games with the policy of a run or checkpoint; results go to the run's `eval/` folder."""
    config, state, checkpoint = read_run(path)
    folder = checkpoint.parent.parent / "eval"
    with blaming(str(folder), OSError):
        folder.mkdir(exist_ok=True)
    seed = config.run.seed if seed is None else seed
    policy = make_trained_policy(config, state, seed=derive_seed(seed, "eval policy"))
    name = f"{checkpoint.name}-{'greedy' if greedy else 'sampled'}"
    video_path = folder / f"{name}.mp4" if video else None
    played = _played(config, policy, derive_seeds(seed, min(episodes, _MAX_ENVS), "eval"),
                     episodes=episodes, greedy=greedy, video_path=video_path)  # fmt: skip
    report = Report(checkpoint, greedy, tuple(played), *mean_and_error(played), video_path)
    _write(folder / f"{name}.json", report, seed)
    return report


def _played(config: Config, policy: Policy, seeds: np.ndarray, *, episodes: int, greedy: bool,
            video_path: Path | None) -> list[Episode]:  # fmt: skip
    """Whole games in one environment for each seed; the first one's first game is shown in the video."""
    with blaming(f"env.id {config.env.id}", ValueError):
        env = build.make_env(config, seeds, render=video_path is not None)
    games = Games(episodes, env.num_envs)
    stream = games.watch(play(policy, env, greedy=greedy))
    with closing(env):
        if video_path is None:
            deque(stream, maxlen=0)
        else:
            pictures = _pictures(stream, build.make_screen(config, env, seeds))
            with blaming(f"--video of {config.env.id}", DependencyNotInstalled):
                write_video(video_path, pictures, _EMULATOR_FPS / env.spec.frame_skip)
    return games.played


def _pictures(stream: Iterator[tuple[np.ndarray, StepResult]], screen: build.Screen) -> Iterator[np.ndarray]:
    """The first environment's first game; the other games go on unseen."""
    showing = True
    for action, step in stream:
        if showing:
            screen.step(action)
            yield screen.picture()
            showing = not step.episode_end[0]


def _write(path: Path, report: Report, seed: int) -> None:
    content = {
        "checkpoint": report.checkpoint.name,
        "greedy": report.greedy,
        "seed": seed,
        "mean": report.mean,
        "standard_error": report.standard_error if len(report.episodes) > 1 else None,
        "returns": [episode.episode_return for episode in report.episodes],
        "lengths": [episode.length for episode in report.episodes],
    }
    path.write_text(json.dumps(content, indent=1))
