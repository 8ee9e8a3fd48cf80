"""Which replay source learns faster? One process a run, several seeds; runs that were cut off go on.

    python -m benchmarks.replay_study run ROOT [--game minatar/breakout] [--env-steps 2000000]
                                          [--kinds uniform elite_least_used …] [--seeds 1 2 …] [--at-once 2]
    python -m benchmarks.replay_study report ROOT [--out FOLDER]

`run` trains `<game>_<method>` inline and in turns in ROOT/KIND_SEED, `--at-once` runs side by side, one core each, and
passes over those that are done. `report` reads all that are: of each run the area under its curve of training
returns, divided by the env steps (the mean return over training); of each kind the mean over its seeds with a 95 %
bootstrap interval, and, but for uniform itself, the difference to uniform on the seeds that both have. Prints JSON;
writes FOLDER/{report.json, curves.csv, curves.png} if one is given.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from benchmarks.intervals import mean_interval
from rl_platform.observability.metrics_file import read_rows

KINDS = {
    "uniform": ("uniform",),
    "attentive": ("attentive",),
    **{
        f"elite_{strategy}": ("elite", f"--replay.sources.1.strategy={strategy}")
        for strategy in ("nearest", "stratified", "least_used", "least_used_in_strata")
    },
}
"""Method, and what is laid over its config."""
ALONE = ("--cluster.mode=inline", "--cluster.pipeline=serial", "--actors.count=1", "--actors.envs_per_actor=32",
         "--run.eval=null", "--logging.progress=off", "--logging.tensorboard=false", "--logging.every_s=2",
         "--replay.checkpoint=true")  # fmt: skip
"""One process on one core: the same training every time, cut off or not. Rows come by the clock: areas differ in their
last digits."""


class Unit(NamedTuple):
    """One run of the study."""

    kind: str
    seed: int

    def folder(self, root: Path) -> Path:
        return root / f"{self.kind}_{self.seed}"


def train(unit: Unit, root: Path, game: str, env_steps: int) -> None:
    """Train it to its end, from where it was cut off; nothing if it is done."""
    folder = unit.folder(root)
    if is_done(folder):
        return
    method, *overrides = KINDS[unit.kind]
    command = [sys.executable, "-m", "rl_platform.cli", "train", f"{game}_{method}", f"--run.seed={unit.seed}",
               f"--run.dir={folder}", f"--run.total_env_steps={env_steps}", *ALONE, *overrides,
               *(["--resume"] if (folder / "config.yaml").exists() else [])]  # fmt: skip
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def is_done(folder: Path) -> bool:
    """Whether a run has come to its end."""
    summary = folder / "summary.json"
    return summary.exists() and json.loads(summary.read_bytes())["status"] == "done"


def curve(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Env steps [K] and mean training returns [K] of the rows that have one."""
    rows = [(row["env_steps"], row["episode_return_mean"]) for row in read_rows(folder / "metrics.jsonl")]
    steps, returns = np.array(rows, float).T
    known = np.isfinite(returns)
    return steps[known], returns[known]


def area(steps: np.ndarray, returns: np.ndarray) -> float:
    """The mean return over training: the curve's area by the trapezoidal rule, divided by its length in env steps."""
    widths = np.diff(steps)
    return float((widths * (returns[1:] + returns[:-1]) / 2).sum() / widths.sum())


def mean(values: Sequence[float]) -> dict[str, float]:
    """Mean, and, of more than one run, its interval."""
    sample = np.array(values)
    found = {"mean": float(sample.mean()), "runs": len(sample)}
    return found | (dict(zip(("low", "high"), mean_interval(sample), strict=True)) if len(sample) > 1 else {})


def compare(areas: dict[Unit, float]) -> dict[str, dict[str, dict[str, float]]]:
    """Each kind's mean area, and its difference to uniform on the same seeds."""
    by_kind = {kind: {unit.seed: a for unit, a in areas.items() if unit.kind == kind} for kind in KINDS}
    uniform = by_kind["uniform"]
    found = {}
    for kind, of_seed in ((kind, of_seed) for kind, of_seed in by_kind.items() if of_seed):
        found[kind] = {"area": mean(list(of_seed.values()))}
        both = [of_seed[seed] - uniform[seed] for seed in of_seed.keys() & uniform.keys()]
        if kind != "uniform" and both:
            found[kind]["above_uniform"] = mean(both)
    return found


def report(root: Path, out: Path | None) -> None:
    """Read every run that is done; print, and write if there is a folder."""
    units = [Unit(*folder.name.rsplit("_", 1)) for folder in sorted(root.iterdir()) if is_done(folder)]
    curves = {unit._replace(seed=int(unit.seed)): curve(unit.folder(root)) for unit in units}
    found = compare({unit: area(*points) for unit, points in curves.items()})
    print(json.dumps(found, indent=1))
    if out is None:
        return
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.json").write_text(json.dumps(found, indent=1) + "\n")
    with (out / "curves.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("kind", "seed", "env_steps", "episode_return_mean"))
        writer.writerows((*unit, int(s), r) for unit, points in curves.items() for s, r in zip(*points, strict=True))
    draw(curves, out / "curves.png")


def draw(curves: dict[Unit, tuple[np.ndarray, np.ndarray]], path: Path) -> None:
    """Each kind's mean over its seeds, and between their lowest and highest a shade."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot(xlabel="env steps", ylabel="mean return of the last 100 training games")
    grid = np.linspace(0, min(steps[-1] for steps, _ in curves.values()), 200)
    for kind in (kind for kind in KINDS if any(unit.kind == kind for unit in curves)):
        runs = [np.interp(grid, *points) for unit, points in curves.items() if unit.kind == kind]
        (line,) = axes.plot(grid, np.mean(runs, axis=0), label=f"{kind} ({len(runs)})")
        axes.fill_between(grid, np.min(runs, axis=0), np.max(runs, axis=0), alpha=0.08, color=line.get_color())
    axes.legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Train or report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "report"))
    parser.add_argument("root", type=Path)
    parser.add_argument("--game", default="minatar/breakout")
    parser.add_argument("--env-steps", type=int, default=2_000_000)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3, 4, 5])
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.what == "report":
        report(arguments.root, arguments.out)
        return
    units = [Unit(kind, seed) for seed in arguments.seeds for kind in arguments.kinds]
    with ThreadPoolExecutor(arguments.at_once) as pool:
        list(pool.map(lambda unit: train(unit, arguments.root, arguments.game, arguments.env_steps), units))


if __name__ == "__main__":
    main()
