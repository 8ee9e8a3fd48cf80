"""Every configuration for exploration, small, on its real environment over Ray: does it run, and does each term act?

    python -m benchmarks.exploration_table [--only NAME …] [--out FILE]

One configuration after another is trained under fragments/small with `cluster.mode ray`, in processes of its own, for
`UPDATES` updates after those in which only the scale of a bonus's inputs is measured; then `benchmarks.method_table`
measures it under the same fragment in one more process. Prints a table: learning updates, env steps
per second in steady state, the mean raw bonus of the first and of the last row of metrics, and each loss term with its
value, the gradient of the term alone and what that gradient's rounding is; FILE gets the same as JSON. Exit status 1
unless every run ends by itself, within `LIMIT_S`, after `MIN_UPDATES` learning updates or more, with a rate and with
finite bonuses where it has any, every term passes as in `method_table` (of one gradient step on the whole small batch,
as parts of it may hold nothing for a predictor that learns from a quarter), and all took no more than `IN_ALL_S`.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.method_table import Row, measure
from configs.layers import shipped_names
from configs.loader import load_config
from rl_platform.observability.metrics_file import read_rows
from rl_platform.runtime.bench.apart import run_apart

SMALL = "fragments/small"
UPDATES = 16
MIN_UPDATES = 10
LIMIT_S = 1800.0
"""Many times what a run takes on two busy cores: one that is still there hangs."""
OVER_RAY = ("--cluster.mode=ray", "--cluster.pipeline=serial", "--run.eval=null", "--logging.every_s=0.2",
            "--logging.progress=off", "--logging.tensorboard=false")  # fmt: skip
IN_ALL_S = 2400.0
"""Of all configurations."""
ONE_STEP = ("--learner.epochs=1", "--learner.minibatches=1")
FOLDERS = ("montezuma", "minigrid", "mario")


class Trained(NamedTuple):
    """What a run over Ray left."""

    updates: int
    """Those that learned: not the first ones, in which only the scale of a bonus's inputs is measured."""
    env_steps_per_s: float
    bonuses: tuple[float, float] | None
    """Mean raw bonus of the first and of the last row that has one; None: there are none."""

    @property
    def passed(self) -> bool:
        """Whether it learned often enough, from numbers."""
        numbers = (self.env_steps_per_s, *(self.bonuses or ()))
        return self.updates >= MIN_UPDATES and self.env_steps_per_s > 0 and all(map(math.isfinite, numbers))


class Outcome(NamedTuple):
    """One configuration."""

    name: str
    trained: Trained | None
    """None: the run failed."""
    terms: list[Row]
    """None of them: the run or their measurement failed."""
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether it ran, showed bonuses if it learns from any, and every term does what it is there for."""
        if self.trained is None or not self.terms:
            return False
        shown = (self.trained.bonuses is not None) == any(term.term == "rnd" for term in self.terms)
        return shown and self.trained.passed and all(term.passed for term in self.terms)


def names() -> list[str]:
    """The shipped experiments on exploration: whole folders, others with bonuses, and PPO as rnd-repr has it."""
    experiments = [name for name in shipped_names() if not name.startswith("fragments/")]
    return [name for name in experiments
            if name.split("/")[0] in FOLDERS or "ppo_repr" in name or load_config(name).learner.rnd]  # fmt: skip


def first_updates(name: str) -> int:
    """Those in which only the scale of a bonus's inputs is measured."""
    rnd = load_config(name).learner.rnd
    return 0 if rnd is None else rnd.init_updates


def env_steps(name: str) -> int:
    """How long it is trained."""
    config = load_config(name, extends=[SMALL])
    return (first_updates(name) + UPDATES) * config.learner.batch_columns * config.actors.unroll_length


def train(name: str, *, limit_s: float = LIMIT_S) -> Trained | None:
    """Train it over a Ray of its own; None if that failed or did not end in time, which has then been said."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "rl_platform.cli", "train", name, "--extends", SMALL,
                   f"--run.total_env_steps={env_steps(name)}", f"--run.dir={folder}/run", *OVER_RAY]  # fmt: skip
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        try:  # Ray's own processes end with the one that is killed for being late
            ended = subprocess.run(command, env=environment, stdout=sys.stderr, check=False, timeout=limit_s)
        except subprocess.TimeoutExpired:
            print(f"{name}: killed, because it had not ended after {limit_s:g} s", file=sys.stderr)
            return None
        return None if ended.returncode else of_run(Path(folder) / "run", first_updates(name))


def of_run(folder: Path, first: int) -> Trained:
    """What a run that is done says of itself, after so many `first` updates."""
    summary = json.loads((folder / "summary.json").read_bytes())
    rows = read_rows(folder / "metrics.jsonl")
    bonuses = [row["bonus_raw_mean"] for row in rows if row.get("bonus_raw_mean") is not None]
    rate = summary["env_steps_per_s"]
    return Trained(
        updates=summary["learner_updates"] - summary["updates_skipped"] - first,
        env_steps_per_s=math.nan if rate is None else rate,
        bonuses=(bonuses[0], bonuses[-1]) if bonuses else None,
    )


def terms(name: str) -> list[Row]:
    """Its loss terms; none if measuring them failed, which its process has said."""
    try:
        return run_apart(terms_here, name)
    except RuntimeError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return []


def terms_here(name: str) -> list[Row]:
    """Its loss terms, in this process."""
    torch.set_num_threads(1)
    return measure(name, ONE_STEP, extends=[SMALL])


def outcome(name: str) -> Outcome:
    """Train and measure one configuration."""
    began = time.monotonic()
    trained = train(name)
    return Outcome(name, trained, terms(name) if trained else [], time.monotonic() - began)


def lines(found: Outcome) -> list[str]:
    """For reading."""
    verdict = "ok" if found.passed else "FAILED"
    if found.trained is None:
        return [f"{found.name:34} the run failed  {verdict}"]
    updates, rate, bonuses = found.trained
    shown = "no bonuses" if bonuses is None else "bonus {:.3g} → {:.3g}".format(*bonuses)
    head = f"{found.name:34} {updates} updates, {rate:,.0f} env steps/s, {shown}, {found.seconds:.0f} s  {verdict}"
    return [head, *(f"    {row.term:16} {row.value:12.4e} {row.gradient_norm:12.4e} {row.rounding:9.1e}"
                    f"  {'ok' if row.passed else 'FAILED'}" for row in found.terms)]  # fmt: skip


def as_json(found: Outcome) -> dict[str, Any]:
    """For programs."""
    trained = None if found.trained is None else found.trained._asdict()
    rows = [row._asdict() | {"passed": row.passed} for row in found.terms]
    return {"name": found.name, "passed": found.passed, "seconds": found.seconds, "trained": trained, "terms": rows}


def main(arguments: Sequence[str] | None = None) -> int:
    """One configuration after another."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these configurations; default: all for exploration")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the table goes as JSON")
    options = parser.parse_args(arguments)
    found: list[Outcome] = []
    began = time.monotonic()
    print(f"    {'term':16} {'value':>12} {'|gradient|':>12} {'rounding':>9}")
    for name in options.only or names():
        found.append(outcome(name))
        print(*lines(found[-1]), sep="\n", flush=True)
        if options.out is not None:
            options.out.write_text(json.dumps(list(map(as_json, found)), indent=1) + "\n")
    seconds = time.monotonic() - began
    passed = sum(one.passed for one in found)
    print(f"{passed} of {len(found)} configurations ok, {seconds:.0f} s in all (limit {IN_ALL_S:.0f} s)")
    return 0 if passed == len(found) and seconds <= IN_ALL_S else 1


if __name__ == "__main__":
    sys.exit(main())
