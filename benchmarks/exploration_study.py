"""Do bonuses solve what is not solved without? Pairs of configurations, several seeds; runs that were cut off go on.

    python -m benchmarks.exploration_study run ROOT [--tasks multiroom_n4 …] [--seeds 1 2 3] [--at-once 2]
    python -m benchmarks.exploration_study report ROOT [--tasks …] [--out FOLDER]

`run` trains `minigrid/<task>_rnd` and `minigrid/<task>_ppo`, which differ in their bonuses alone, in ROOT/KIND_SEED,
`--at-once` runs side by side, one core each, and passes over those that are done there, or kept in docs/results as
minigrid_KIND_SEED (by `benchmarks/record_run.py`). `report` reads all of these: of each run its return at the end (of
the last 100 training episodes), the most that it ever was, and the env steps after which it was `SOLVED` for the first
time. Prints JSON; writes FOLDER/{report.json, curves.csv, curves.png} if one is given. Exit status 1 unless, in every
task, every run with bonuses ends at `SOLVED` or above, none without ever reaches `FAILED`, and both have `SEEDS` seeds.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.study import Curve, Unit, curves, done, kept, tell, train_all

TASKS = ("multiroom_n4", "multiroom_n6_fixed")
SIDES = ("rnd", "ppo")
KEPT = "minigrid_"
SEEDS = 3
SOLVED = 0.6
FAILED = 0.2
MOST_ROWS = 250


class Ended(NamedTuple):
    """What one run came to."""

    env_steps: int
    last: float
    """Mean return of the last 100 training episodes at the end."""
    highest: float
    """The same, where it was highest."""
    area: float
    """Mean over training."""
    solved_after: int | None
    """Env steps until it was `SOLVED` for the first time; None: never."""


def ended(points: Curve) -> Ended:
    """Of a run's curve."""
    solved = points.steps[points.returns >= SOLVED]
    return Ended(int(points.steps[-1]), float(points.returns[-1]), float(points.returns.max()), points.area(),
                 int(solved[0]) if len(solved) else None)  # fmt: skip


def kinds_of(tasks: Sequence[str]) -> list[str]:
    """Both sides of each."""
    return [f"{task}_{side}" for task in tasks for side in SIDES]


def failures(found: dict[Unit, Ended], tasks: Sequence[str]) -> list[str]:
    """What speaks against: bonuses solve these tasks, and without them they are not solved."""
    counts = Counter(unit.kind for unit in found)
    few = [f"{kind} has {counts[kind]} runs of {SEEDS}" for kind in kinds_of(tasks) if counts[kind] < SEEDS]
    return [*few, *(reason for unit, run in found.items() if (reason := _failure(unit, run)))]


def _failure(unit: Unit, run: Ended) -> str | None:
    if unit.kind.endswith("_rnd"):
        return None if run.last >= SOLVED else f"{unit.kind}, seed {unit.seed}, ends at {run.last:.2f}"
    return None if run.highest < FAILED else f"{unit.kind}, seed {unit.seed}, reached {run.highest:.2f}"


def as_json(found: dict[Unit, Ended], tasks: Sequence[str]) -> dict[str, Any]:
    """For programs."""
    kinds = dict.fromkeys(unit.kind for unit in found)
    runs = {kind: {unit.seed: run._asdict() for unit, run in found.items() if unit.kind == kind} for kind in kinds}
    against = failures(found, tasks)
    return {"runs": runs, "passed": not against, "failures": against}


def report(root: Path, tasks: Sequence[str], out: Path | None) -> bool:
    """Read every run that is done; print, and write if there is a folder. Returns whether all is as it should be."""
    of_units = {unit: points for unit, points in curves(kept(KEPT) | done(root)).items()
                if unit.kind in kinds_of(tasks)}  # fmt: skip
    found = as_json({unit: ended(points) for unit, points in of_units.items()}, tasks)
    tell(found, of_units, out, most_rows=MOST_ROWS)
    return found["passed"]


def main() -> int:
    """Train or report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "report"))
    parser.add_argument("root", type=Path)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), metavar="TASK", help=f"default: {' '.join(TASKS)}")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(1, SEEDS + 1)))
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.what == "report":
        return 0 if report(options.root, options.tasks, options.out) else 1
    present = kept(KEPT)
    units = [unit for seed in options.seeds for kind in kinds_of(options.tasks)
             if (unit := Unit(kind, seed)) not in present]  # fmt: skip
    return 1 if train_all(units, options.root, lambda unit: [f"minigrid/{unit.kind}"], at_once=options.at_once) else 0


if __name__ == "__main__":
    sys.exit(main())
