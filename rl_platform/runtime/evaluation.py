"""Whole games of a trained policy, their returns, and a video: for `rl-platform eval` and for evaluations in a run."""

import json
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from gymnasium.error import DependencyNotInstalled

from actors.rooms import RoomWatch
from configs.schema import Config
from rl_platform.core.interfaces import StepResult, VectorEnv
from rl_platform.core.rooms import RoomLog
from rl_platform.core.seeding import derive_seed, derive_seeds
from rl_platform.core.spec import EMULATOR_FPS
from rl_platform.core.types import Episode
from rl_platform.observability.exploration import write_clips, write_rooms
from rl_platform.observability.files import write_atomic
from rl_platform.observability.rooms import room_report
from rl_platform.observability.video import write_video
from rl_platform.runtime import build_envs
from rl_platform.runtime.checkpoint import State
from rl_platform.runtime.errors import blaming
from rl_platform.runtime.load import make_trained_policy, read_run
from rl_platform.runtime.play import Games, Witness, mean_and_error, play

_MAX_ENVS = 20


class Plan(NamedTuple):
    """Which games are played: the same plan and the same weights give the same games."""

    episodes: int
    greedy: bool
    """The most probable action instead of a sampled one."""
    seed: int
    """Of the environments and of sampled actions."""


class GivenUpError(Exception):
    """The games were not played to their end, because they were not wanted any more."""


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
        return "\n".join([*lines, *_room_table(self.episodes), *([f"video: {self.video}"] if self.video else [])])


def _room_table(episodes: tuple[Episode, ...]) -> list[str]:
    """The rooms visited ever, and in each episode in the order of first visits; no lines where none are told."""
    ever = {room for episode in episodes for room in episode.rooms}
    if not ever:
        return []
    counts = [len(episode.rooms) for episode in episodes]
    summary = f"rooms: {len(ever)} ever, {sum(counts) / len(counts):.2f} in an episode, at most {max(counts)}"
    rows = [
        f"{episode.episode_return:10g} {episode.length:8d}  {' '.join(map(str, episode.rooms))}" for episode in episodes
    ]
    return [summary, f"{'return':>10} {'length':>8}  rooms", *rows]


def evaluate_run(path: Path, *, episodes: int, greedy: bool, video: bool, seed: int | None = None) -> Report:
    """Play `episodes` whole games with the policy of a run or checkpoint; results go to the run's `eval/` folder."""
    config, state, checkpoint = read_run(path)
    folder = checkpoint.parent.parent / "eval"
    with blaming(str(folder), OSError):
        folder.mkdir(exist_ok=True)
    plan = Plan(episodes, greedy, config.run.seed if seed is None else seed)
    name = f"{checkpoint.name}-{'greedy' if greedy else 'sampled'}"
    video_path = folder / f"{name}.mp4" if video else None
    if getattr(config.env, "rooms", False):
        watch = RoomWatch(build_envs.env_spec(config), min(episodes, _MAX_ENVS))
        played = play_games(config, state, plan, video_path=video_path, witness=watch.add)
        _write_rooms(folder, name, config, watch.end(), played)
    else:
        played = play_games(config, state, plan, video_path=video_path)
    write_findings(folder / f"{name}.json", findings(checkpoint.name, plan, played))
    return Report(checkpoint, greedy, played, *mean_and_error(played), video_path)


def _write_rooms(folder: Path, name: str, config: Config, log: RoomLog, played: tuple[Episode, ...]) -> None:
    """`<name>-rooms.json` and `.png`, and `<name>-room_<NN>.mp4` of each."""
    first: dict[int, int] = {}
    for passage in log.passages:  # the earliest first
        first.setdefault(passage.room, passage.first)
    report = room_report(Counter({(passage.origin, passage.room): passage.times for passage in log.passages}), first)
    report |= {"rooms_per_episode": [len(episode.rooms) for episode in played]}
    write_rooms(folder, report, config.env.id, name=f"{name}-rooms")
    for path in folder.glob(f"{name}-room_*.mp4"):
        path.unlink()  # of games that were played before
    write_clips(folder, log.clips, config.env.frame_skip, prefix=f"{name}-")


def play_games(config: Config, state: State, plan: Plan, *, video_path: Path | None = None,
               given_up: Callable[[], bool] = lambda: False,
               witness: Witness = lambda step, kept: None) -> tuple[Episode, ...]:  # fmt: skip
    """Whole games with the weights of a learner's state; the first environment's first game is shown in the video.

    Args:
      given_up: asked after every step; GivenUpError is raised when it says so before the last game has ended.
      witness: as for `Games`.
    """
    policy = make_trained_policy(config, state, seed=derive_seed(plan.seed, "eval policy"))
    seeds = derive_seeds(plan.seed, min(plan.episodes, _MAX_ENVS), "eval")
    with blaming(f"env.id {config.env.id}", ValueError):
        env = build_envs.make_env(config, seeds, render=video_path is not None)
    games = Games(plan.episodes, env.num_envs, witness)
    stream = takewhile(lambda _: not given_up(), games.watch(play(policy, env, greedy=plan.greedy)))
    with closing(env):
        if video_path is None:
            deque(stream, maxlen=0)
        else:
            _film(config, env, seeds, stream, video_path)
    if len(games.played) < plan.episodes:
        raise GivenUpError
    return tuple(games.played)


def _film(config: Config, env: VectorEnv, seeds: np.ndarray, stream: Iterator[tuple[np.ndarray, StepResult]],
          path: Path) -> None:  # fmt: skip
    pictures = _pictures(stream, build_envs.make_screen(config, env, seeds))
    with blaming(f"--video of {config.env.id}", DependencyNotInstalled):
        write_video(path, pictures, EMULATOR_FPS / env.spec.frame_skip)


def _pictures(stream: Iterator[tuple[np.ndarray, StepResult]], screen: build_envs.Screen) -> Iterator[np.ndarray]:
    """The first environment's first game; the other games go on unseen."""
    showing = True
    for action, step in stream:
        if showing:
            screen.step(action)
            yield screen.picture()
            showing = not step.episode_end[0]


def findings(state_name: str, plan: Plan, played: tuple[Episode, ...]) -> dict[str, Any]:
    """Plain JSON values; `seed`, `greedy` and the number of returns say how to repeat it."""
    mean, standard_error = mean_and_error(played)
    return {
        "checkpoint": state_name,
        "greedy": plan.greedy,
        "seed": plan.seed,
        "mean": mean,
        "standard_error": standard_error if len(played) > 1 else None,
        "returns": [episode.episode_return for episode in played],
        "lengths": [episode.length for episode in played],
        **({"rooms": [list(episode.rooms) for episode in played]} if any(episode.rooms for episode in played) else {}),
    }


def write_findings(path: Path, content: dict[str, Any]) -> None:
    """Replace a file of the `eval/` folder."""
    write_atomic(path, json.dumps(content, indent=1).encode())
