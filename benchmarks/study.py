"""Runs of a study: one process each, of several kinds and seeds, and what came of those that are done."""

import csv
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from matplotlib.figure import Figure

from benchmarks.record_run import RESULTS
from rl_platform.observability.metrics_file import read_rows


class Unit(NamedTuple):
    """One run of a study."""

    kind: str
    seed: int

    def folder(self, root: Path) -> Path:
        return root / f"{self.kind}_{self.seed}"


class Curve(NamedTuple):
    """Of one run, rows that have a return."""

    steps: np.ndarray
    """[K] env steps."""
    returns: np.ndarray
    """[K] mean returns of the last 100 training episodes."""

    def area(self) -> float:
        """The mean return over training: the area by the trapezoidal rule, divided by its length in env steps."""
        widths = np.diff(self.steps)
        return float((widths * (self.returns[1:] + self.returns[:-1]) / 2).sum() / widths.sum())


def train_all(units: Sequence[Unit], root: Path, arguments: Callable[[Unit], Sequence[str]], *, at_once: int) -> int:
    """Train each to its end, `at_once` side by side, one core each. Returns how many failed, which has then been said.

    Args:
      arguments: of `rl-platform train` for a unit: the config, and what is laid over it.
    """
    with ThreadPoolExecutor(at_once) as pool:
        return sum(not done for done in pool.map(lambda unit: train(unit, root, arguments(unit)), units))


def train(unit: Unit, root: Path, arguments: Sequence[str]) -> bool:
    """Train it to its end, from where it was cut off; nothing if it is done. Returns whether it came there."""
    folder = unit.folder(root)
    if is_done(folder):
        return True
    command = [sys.executable, "-m", "rl_platform.cli", "train", *arguments, f"--run.seed={unit.seed}",
               f"--run.dir={folder}", "--logging.progress=off", "--logging.tensorboard=false",
               *(["--resume"] if (folder / "config.yaml").exists() else [])]  # fmt: skip
    ended = subprocess.run(command, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"})
    if ended.returncode:
        print(f"{folder}: ended with status {ended.returncode}", file=sys.stderr)
    return not ended.returncode


def is_done(folder: Path) -> bool:
    """Whether a run has come to its end."""
    summary = folder / "summary.json"
    return summary.exists() and json.loads(summary.read_bytes())["status"] == "done"


def done(root: Path) -> dict[Unit, Path]:
    """Every run that has come to its end, and its folder."""
    folders = sorted(folder for folder in root.glob("*_[0-9]*") if is_done(folder))
    return {unit: folder for folder in folders if (unit := _unit(folder.name))}


def kept(prefix: str) -> dict[Unit, Path]:
    """Every run whose curve `record_run` has kept under a name of this prefix, kind and seed."""
    folders = sorted(path.parent for path in RESULTS.glob(f"{prefix}*_[0-9]*/curve.csv"))
    return {unit: folder for folder in folders if (unit := _unit(folder.name.removeprefix(prefix)))}


def _unit(name: str) -> Unit | None:
    """None: a folder that was named by somebody else."""
    kind, _, seed = name.rpartition("_")
    return Unit(kind, int(seed)) if seed.isdecimal() else None


def curve(folder: Path) -> Curve:
    """Of a run, or of what is kept of one."""
    rows = [(row["env_steps"], row["episode_return_mean"]) for row in _rows(folder)]
    steps, returns = np.array([[math.nan if cell in (None, "") else float(cell) for cell in row] for row in rows]).T
    known = np.isfinite(returns)
    return Curve(steps[known], returns[known])


def _rows(folder: Path) -> Iterable[dict[str, Any]]:
    kept_curve = folder / "curve.csv"
    if not kept_curve.exists():
        return read_rows(folder / "metrics.jsonl")
    with kept_curve.open(newline="") as file:
        return list(csv.DictReader(file))


def curves(folders: dict[Unit, Path]) -> dict[Unit, Curve]:
    """Of runs that are done.

    Raises:
      SystemExit: there is none; one ended before its config's env steps, or before its first episode's end; or runs
        of one kind were trained differently.
    """
    if not folders:
        raise SystemExit("no run has come to its end")
    trained_as = {unit: _trained_as(folder) for unit, folder in folders.items()}
    found = {unit: curve(folder) for unit, folder in folders.items()}
    for unit, points in found.items():
        first = next(other for other in folders if other.kind == unit.kind)
        if trained_as[unit] != trained_as[first]:
            raise SystemExit(f"{folders[unit]} has other settings than {folders[first]}: compare their config.yaml, "
                             "and move one of them away")  # fmt: skip
        reached, asked = points.steps[-1] if len(points.steps) else 0, trained_as[unit]["env_steps"]
        if reached < asked:
            raise SystemExit(f"{folders[unit]} has returns up to {reached:.0f} env steps, not {asked}: train on")
    return found


def _trained_as(folder: Path) -> dict[str, Any]:
    """What makes a run learn as it does, but for its seed."""
    config = yaml.safe_load((folder / "config.yaml").read_text())
    parts = ("env", "actors", "replay", "model", "learner", "cluster")
    return {part: config[part] for part in parts} | {"env_steps": config["run"]["total_env_steps"]}


def tell(found: dict[str, Any], of_units: dict[Unit, Curve], folder: Path | None, *,
         most_rows: int | None = None) -> None:  # fmt: skip
    """Print what was found, and write it and the curves: report.json and `write_curves`, unless there is no folder."""
    text = json.dumps(found, indent=1)
    print(text)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.json").write_text(text + "\n")
        write_curves(of_units, folder, most_rows=most_rows)


def write_curves(found: dict[Unit, Curve], folder: Path, *, most_rows: int | None = None) -> None:
    """curves.csv, of each run the last row and at most `most_rows` in all, and curves.png."""
    with (folder / "curves.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("kind", "seed", "env_steps", "episode_return_mean"))
        for unit, points in found.items():
            stride = 1 if most_rows is None else -(-len(points.steps) // most_rows)
            kept = [column[::-1][::stride][::-1] for column in points]
            writer.writerows((*unit, int(steps), value) for steps, value in zip(*kept, strict=True))
    draw(found, folder / "curves.png")


def draw(found: dict[Unit, Curve], path: Path) -> None:
    """Each kind's mean over its seeds, and between their lowest and highest a shade."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot(xlabel="env steps", ylabel="mean return of the last 100 training games")
    grid = np.linspace(0, min(points.steps[-1] for points in found.values()), 200)
    for kind in dict.fromkeys(unit.kind for unit in found):
        runs = [np.interp(grid, *points) for unit, points in found.items() if unit.kind == kind]
        (line,) = axes.plot(grid, np.mean(runs, axis=0), label=f"{kind} ({len(runs)})")
        axes.fill_between(grid, np.min(runs, axis=0), np.max(runs, axis=0), alpha=0.08, color=line.get_color())
    axes.legend()
    figure.savefig(path, dpi=110)
