"""Whole games of a trained policy, their returns, and a video: for `rl-platform eval` and for evaluations in a run."""

import json
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from gymnasium.error import DependencyNotInstalled

from actors.rooms import RoomWatch
from configs.env import AleEnv
from configs.schema import Config
from rl_platform.core.interfaces import StepResult, VectorEnv
from rl_platform.core.rooms import RoomLog
from rl_platform.core.seeding import derive_seed, derive_seeds
from rl_platform.core.spec import EMULATOR_FPS
from rl_platform.core.types import Episode
from rl_platform.observability.exploration import write_bonus_curve, write_clips, write_rooms
from rl_platform.observability.files import write_atomic
from rl_platform.observability.rooms import room_report
from rl_platform.observability.video import write_video
from rl_platform.runtime import build_envs
from rl_platform.runtime.checkpoint import State
from rl_platform.runtime.errors import blaming
from rl_platform.runtime.evaluation_report import Report
from rl_platform.runtime.load import make_trained_policy, read_run
from rl_platform.runtime.play import Games, Witness, mean_and_error, play
from rl_platform.runtime.preflight import environment_spec
from rl_platform.runtime.trained_bonuses import BonusWatch, GameBonus, make_trained_rnd

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


def evaluate_run(path: Path, *, episodes: int, greedy: bool, video: bool, seed: int | None = None) -> Report:
    """Play `episodes` whole games with the policy of a run or checkpoint; results go to the run's `eval/` folder."""
    config, state, checkpoint = read_run(path)
    folder = checkpoint.parent.parent / "eval"
    with blaming(str(folder), OSError):
        folder.mkdir(exist_ok=True)
    plan = Plan(episodes, greedy, config.run.seed if seed is None else seed)
    name = f"{checkpoint.name}-{'greedy' if greedy else 'sampled'}"
    video_path = folder / f"{name}.mp4" if video else None
    watch = _watch(config, state, min(episodes, _MAX_ENVS))
    played = play_games(config, state, plan, video_path=video_path, witness=watch.add)
    report = Report(checkpoint, greedy, played, *mean_and_error(played), video_path, watch.bonuses())
    write_findings(folder / f"{name}.json", findings(checkpoint.name, plan, played) | bonus_findings(report.bonuses))
    if watch.rooms is not None:
        _write_rooms(folder, name, config, watch.rooms.end(), played)
    if watch.bonus is not None:
        write_bonus_curve(watch.bonus.first, folder / f"{name}-bonus.png")
    return report


class _Watch(NamedTuple):
    """What is noted of the games beside their returns; None: the run has no such thing."""

    rooms: RoomWatch | None
    bonus: BonusWatch | None

    def add(self, step: StepResult, kept: np.ndarray) -> None:
        """A witness of `Games`."""
        for part in self:
            if part is not None:
                part.add(step, kept)

    def bonuses(self) -> tuple[GameBonus, ...]:
        """Of each game that was kept."""
        return () if self.bonus is None else tuple(self.bonus.games)


def _watch(config: Config, state: State, num_envs: int) -> _Watch:
    with_rooms = isinstance(config.env, AleEnv) and config.env.rooms
    rnd = make_trained_rnd(config, state)
    return _Watch(
        RoomWatch(environment_spec(config), num_envs) if with_rooms else None,
        None if rnd is None else BonusWatch(rnd.judge, num_envs),
    )


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


def bonus_findings(bonuses: tuple[GameBonus, ...]) -> dict[str, Any]:
    """Of a run with bonuses their mean and sum in each game, in the order of `returns`."""
    if not bonuses:
        return {}
    return {"bonus_mean": [bonus.mean for bonus in bonuses], "bonus_sum": [bonus.total for bonus in bonuses]}


def write_findings(path: Path, content: dict[str, Any]) -> None:
    """Replace a file of the `eval/` folder."""
    write_atomic(path, json.dumps(content, indent=1).encode())
