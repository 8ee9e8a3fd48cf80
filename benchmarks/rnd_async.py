"""How much faster is RND when collection goes on beside learning? Whole runs of montezuma/rnd in alternation.

    python -m benchmarks.rnd_async [--envs 128] [--steps 128] [--updates 12] [--rounds 3] [--gpu] [--section.key=value]

*asynchronous*: Ray, the learner and the rollout actors in processes of their own, weights one update old at most.
*waiting*: the same processes, with `actors.max_policy_lag` 0: collection and learning wait for each other.
*serial*: the same actors and the same learner in turns, in one process with one thread. All from the config's sizes,
lightning-rnd's, unless others are given. A rate is env steps per second from the end of update `WARM_UP` to that of
the last; memory is the largest sum of the private memory of all processes of a run and of its object store. Prints one
JSON object with every round, the medians of asynchronous ÷ waiting and of asynchronous ÷ serial, and what
lightning-rnd's authors published. Their serial loop steps environments in parallel processes beside an idle GPU: it is
asynchronous ÷ waiting, on a GPU, that compares with their ratio. Asynchronous ÷ serial has in it, besides, what several
processes win over one.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from benchmarks.soak import sample, wait_for_end
from configs.loader import load_config
from rl_platform.observability.metrics_file import read_rows

CONFIG = "montezuma/rnd"
PUBLISHED_RATIO = 2.3
WARM_UP = 2
EVERY_S = 0.5
ALIKE = ("--learner.rnd.init_updates=1", "--run.eval=null", "--logging.every_s=0.05", "--logging.progress=off",
         "--logging.tensorboard=false", "--run.checkpoint_every_s=1e6")  # fmt: skip
WIRINGS = {
    "asynchronous": ("--cluster.mode=ray",),
    "waiting": ("--cluster.mode=ray", "--actors.max_policy_lag=0"),
    "serial": ("--cluster.mode=inline", "--cluster.pipeline=serial"),
}


class Sizes(NamedTuple):
    """Of an update, and how many there are."""

    envs: int
    steps: int
    updates: int

    def overrides(self) -> list[str]:
        """Laid over the config, whose number of actors stays."""
        actors = load_config(CONFIG).actors.count
        if self.envs % actors:
            raise SystemExit(f"--envs {self.envs} is no multiple of the {actors} rollout actors")
        return [f"--actors.envs_per_actor={self.envs // actors}", f"--learner.batch_columns={self.envs}",
                f"--replay.sources.0.capacity={self.envs}", f"--actors.unroll_length={self.steps}",
                f"--run.total_env_steps={self.updates * self.envs * self.steps}"]  # fmt: skip


class Figures(NamedTuple):
    """What one run did."""

    env_steps_per_s: float
    policy_lag_mean: float
    memory_mb: float


def run(arguments: Sequence[str]) -> Figures:
    """Train once, watching its memory."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "rl_platform.cli", "train", CONFIG, f"--run.dir={folder}/run", *arguments]
        process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=sys.stderr)
        try:
            memory_mb = watch(process)
        finally:
            process.terminate()  # nothing happens if it has ended
            process.wait()
        if process.returncode:
            raise SystemExit(f"a run failed with status {process.returncode}: what it said is above")
        lag = json.loads((Path(folder) / "run" / "summary.json").read_bytes())["policy_lag_mean"]
        return Figures(rate(read_rows(Path(folder) / "run" / "metrics.jsonl")), lag, memory_mb)


def watch(process: subprocess.Popen) -> float:
    """The most memory that it had at once, in MB; returns when it has ended."""
    driver, most = psutil.Process(process.pid), 0.0
    while process.poll() is None:
        seen = sample(driver)
        most = max(most, seen["all private_mb"] + seen.get("object store touched_mb", 0.0))
        wait_for_end(process, EVERY_S)
    return most


def rate(rows: Sequence[dict[str, Any]]) -> float:
    """Env steps per second from the first row after update `WARM_UP` to the first after the last update."""
    last = rows[-1]["learner_updates"]
    begin, end = (next(row for row in rows if row["learner_updates"] >= count) for count in (WARM_UP, last))
    return (end["env_steps"] - begin["env_steps"]) / (end["wall_s"] - begin["wall_s"])


def main() -> None:
    """Alternate, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--envs", type=int, default=128)
    parser.add_argument("--steps", type=int, default=128)
    parser.add_argument("--updates", type=int, default=12, help=f"of which the first {WARM_UP} do not count")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gpu", action="store_true", help="the learner on a GPU, in all")
    options, overrides = parser.parse_known_args()
    if options.updates <= WARM_UP:
        raise SystemExit(f"--updates must be more than {WARM_UP}")
    sizes = Sizes(options.envs, options.steps, options.updates)
    alike = [*ALIKE, *sizes.overrides(), f"--learner.device={'cuda' if options.gpu else 'cpu'}", *overrides]
    found = alternate(alike, options.rounds, on_gpu=options.gpu)
    rounds = {name: [figures._asdict() for figures in runs] for name, runs in found.items()}
    print(json.dumps({"sizes": sizes._asdict(), "gpu": options.gpu, **rounds, "over_waiting": over(found, "waiting"),
                      "over_serial": over(found, "serial"), "published_ratio": PUBLISHED_RATIO}))  # fmt: skip


def over(found: dict[str, list[Figures]], wiring: str) -> dict[str, Any]:
    """Rates of the asynchronous wiring over those of another: of each round, and their median."""
    pairs = zip(found["asynchronous"], found[wiring], strict=True)
    ratios = [one.env_steps_per_s / other.env_steps_per_s for one, other in pairs]
    return {"median": statistics.median(ratios), "rounds": ratios}


def alternate(alike: Sequence[str], rounds: int, *, on_gpu: bool) -> dict[str, list[Figures]]:
    """Run after run, by wiring; `alike` is laid over all."""
    found: dict[str, list[Figures]] = {name: [] for name in WIRINGS}
    for _ in range(rounds):
        for name, wiring in WIRINGS.items():
            placed = ["--cluster.gpus_per_learner=1"] if on_gpu and "--cluster.mode=ray" in wiring else []
            found[name].append(run([*alike, *wiring, *placed]))
            print(name, found[name][-1], file=sys.stderr, flush=True)
    return found


if __name__ == "__main__":
    main()
