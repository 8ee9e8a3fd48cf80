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
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.intervals import mean_interval
from benchmarks.study import Unit, curves, done, tell, train_all

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
         "--run.eval=null", "--logging.every_s=2", "--replay.checkpoint=true")  # fmt: skip
"""One process on one core: the same training every time, cut off or not. Rows come by the clock: areas differ in their
last digits."""


def arguments(unit: Unit, game: str, env_steps: int) -> list[str]:
    """Of `rl-platform train`."""
    method, *overrides = KINDS[unit.kind]
    return [f"{game}_{method}", f"--run.total_env_steps={env_steps}", *ALONE, *overrides]


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
    of_units = curves(done(root))
    found = compare({unit: points.area() for unit, points in of_units.items()})
    tell(found, {unit: of_units[unit] for kind in KINDS for unit in of_units if unit.kind == kind}, out)


def main() -> int:
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
    options = parser.parse_args()
    if options.what == "report":
        report(options.root, options.out)
        return 0
    units = [Unit(kind, seed) for seed in options.seeds for kind in options.kinds]
    failed = train_all(units, options.root, lambda unit: arguments(unit, options.game, options.env_steps),
                       at_once=options.at_once)  # fmt: skip
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
