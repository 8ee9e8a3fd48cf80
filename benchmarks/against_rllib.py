"""Ours against RLlib's IMPALA on Pong, training included: whole commands in alternation, medians and the ratio.

One round runs ours once and RLlib once for each number of env runners, one after the other; the machine must be idle
otherwise. RLlib's figure is the better of its medians. Both sides report env steps per second in steady state (start-up
excluded); RLlib's are the steps that it trained on. The second command below gives RLlib its own defaults where
rllib_impala.py would give it better ones.

    python benchmarks/against_rllib.py --precision bf16 [--rounds 5] [--seconds 60]
    python benchmarks/against_rllib.py --rllib-args "--sampler-timeout-s 0 --learners 1 --aggregators 0"
"""

import argparse
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

RLLIB_SCRIPT = Path(__file__).with_name("rllib_impala.py")
OUR_COMMAND = Path(sys.executable).with_name("rl-platform")
START_AND_STOP_S = 300.0


class Figures(NamedTuple):
    """Env steps per second of one system over the rounds."""

    median: float
    lowest: float
    highest: float
    rounds: list[float]


def run(command: list[str], timeout_s: float) -> str:
    """Standard output of a command that must succeed; on a timeout it is asked to end (SIGTERM) before it is killed."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            output, _ = process.communicate(timeout=timeout_s)
        except BaseException:
            stop(process)
            raise
    if process.returncode != 0:
        raise RuntimeError(f"{shlex.join(command)} ended with status {process.returncode}")
    return output


def stop(process: subprocess.Popen, grace_s: float = 60.0) -> None:
    """End a command so that it can take its Ray processes with it."""
    process.terminate()
    try:
        process.communicate(timeout=grace_s)
    except subprocess.TimeoutExpired:
        process.kill()


def ours(precision: str, seconds: float) -> float:
    """Env steps per second of one `rl-platform train`, from its summary."""
    with tempfile.TemporaryDirectory() as folder:
        run_folder = Path(folder) / "run"
        overrides = ["--run.max_seconds", str(seconds), "--model.precision", precision, "--run.dir", str(run_folder)]
        run([str(OUR_COMMAND), "train", "atari/pong_impala", *overrides], timeout_s=seconds + START_AND_STOP_S)
        return float(json.loads((run_folder / "summary.json").read_text())["env_steps_per_s"])


def rllib(env_runners: int, seconds: float, extra: list[str]) -> float:
    """Env steps trained per second of one RLlib run, from the JSON in its last line."""
    command = [sys.executable, str(RLLIB_SCRIPT), "--env-runners", str(env_runners), "--seconds", str(seconds), *extra]
    return float(json.loads(run(command, timeout_s=seconds + START_AND_STOP_S).splitlines()[-1])["env_steps_per_s"])


def figures(rounds: list[float]) -> Figures:
    """Median and extremes of one system's rounds."""
    return Figures(statistics.median(rounds), min(rounds), max(rounds), rounds)


def systems(options: argparse.Namespace) -> dict[str, Callable[[], float]]:
    """What takes part, by the name shown: each call is one whole run."""
    measures: dict[str, Callable[[], float]] = {}
    if not options.only_rllib:
        measures[f"ours, {options.precision}"] = partial(ours, options.precision, options.seconds)
    for runners in options.env_runners:
        name = f"rllib, fp32, env runners: {runners}"
        measures[name] = partial(rllib, runners, options.seconds, options.rllib_args)
    return measures


def alternate(measures: dict[str, Callable[[], float]], rounds: int) -> dict[str, Figures]:
    """Every system once a round."""
    measured: dict[str, list[float]] = {name: [] for name in measures}
    for index in range(rounds):
        for name, measure in measures.items():
            measured[name].append(measure())
            print(f"round {index + 1}: {name}: {measured[name][-1]:.0f} env steps/s", file=sys.stderr, flush=True)
    return {name: figures(values) for name, values in measured.items()}


def ratio(results: dict[str, Figures]) -> float | None:
    """Our median over the better of RLlib's medians; None without a run of ours."""
    our_medians = [result.median for name, result in results.items() if name.startswith("ours")]
    best_rllib = max(result.median for name, result in results.items() if name.startswith("rllib"))
    return our_medians[0] / best_rllib if our_medians else None


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Ours against RLlib's IMPALA on Pong, in alternation.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60.0, help="of training a run")
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16", help="ours; RLlib trains in fp32")
    parser.add_argument("--env-runners", type=int, nargs="+", choices=(1, 2), default=[1, 2], help="RLlib's")
    parser.add_argument("--rllib-args", type=shlex.split, default=[], help="more options of rllib_impala.py, quoted")
    parser.add_argument("--only-rllib", action="store_true", help="leave ours out")
    return parser.parse_args()


def main() -> None:
    """Alternate, show a table on stderr, print one line of JSON."""
    options = parse_options()
    results = alternate(systems(options), options.rounds)
    print(f"{'env steps/s':<32}{'median':>8}{'min':>8}{'max':>8}", file=sys.stderr)
    for name, result in results.items():
        print(f"{name:<32}{result.median:>8.0f}{result.lowest:>8.0f}{result.highest:>8.0f}", file=sys.stderr)
    report = {"systems": {name: result._asdict() for name, result in results.items()}, "ratio": ratio(results)}
    print(json.dumps(report | {"seconds": options.seconds, "rllib_args": options.rllib_args}))


if __name__ == "__main__":
    main()
