"""Ours against RLlib's IMPALA on Pong, training included: whole commands in alternation, medians and ratios.

One round runs each system once; the machine must be idle otherwise. RLlib takes part as *stock*, with its own defaults
for driver, learner and aggregators, at one and at two env runners, and as *tuned*, with the settings that
rllib_impala.py found best (one env runner beside a learner actor and an aggregator, and a driver that waits). Either
way it gets ALE's vector environment and a channels-last network, which make it faster than its own Atari example. A
ratio is ours over the better of the numbers of env runners. All report env steps per second in steady state (start-up
excluded); RLlib's are the steps that it trained on.

    python benchmarks/against_rllib.py [--rounds 5] [--seconds 30]
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
PRECISIONS = ("bf16", "fp32")
ENV_RUNNERS = {"stock": (1, 2), "tuned": (1,)}
RLLIB_SETTINGS = {"stock": ["--sampler-timeout-s", "0", "--learners", "1", "--aggregators", "0"], "tuned": []}


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
    measured = ["--env-runners", str(env_runners), "--seconds", str(seconds), "--warmup", "8"]
    command = [sys.executable, str(RLLIB_SCRIPT), *measured, *extra]
    return float(json.loads(run(command, timeout_s=seconds + START_AND_STOP_S).splitlines()[-1])["env_steps_per_s"])


def figures(rounds: list[float]) -> Figures:
    """Median and extremes of one system's rounds."""
    return Figures(statistics.median(rounds), min(rounds), max(rounds), rounds)


def systems(seconds: float) -> dict[str, Callable[[], float]]:
    """What takes part, by the name shown: each call is one whole run."""
    measures: dict[str, Callable[[], float]] = {f"ours {name}": partial(ours, name, seconds) for name in PRECISIONS}
    for kind, settings in RLLIB_SETTINGS.items():
        for runners in ENV_RUNNERS[kind]:
            measures[f"rllib {kind}, env runners: {runners}"] = partial(rllib, runners, seconds, settings)
    return measures


def alternate(measures: dict[str, Callable[[], float]], rounds: int) -> dict[str, Figures]:
    """Every system once a round."""
    measured: dict[str, list[float]] = {name: [] for name in measures}
    for index in range(rounds):
        for name, measure in measures.items():
            measured[name].append(measure())
            print(f"round {index + 1}: {name}: {measured[name][-1]:.0f} env steps/s", file=sys.stderr, flush=True)
    return {name: figures(values) for name, values in measured.items()}


def ratios(results: dict[str, Figures]) -> dict[str, float]:
    """Our medians over the better of RLlib's medians, for each of its settings."""
    return {
        f"{precision} / rllib {kind}": results[f"ours {precision}"].median
        / max(result.median for name, result in results.items() if name.startswith(f"rllib {kind}"))
        for precision in PRECISIONS
        for kind in RLLIB_SETTINGS
    }


def main() -> None:
    """Alternate, show a table on stderr, print one line of JSON."""
    parser = argparse.ArgumentParser(description="Ours against RLlib's IMPALA on Pong, in alternation.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=30.0, help="of training a run")
    options = parser.parse_args()
    results = alternate(systems(options.seconds), options.rounds)
    print(f"{'env steps/s':<32}{'median':>8}{'min':>8}{'max':>8}", file=sys.stderr)
    for name, result in results.items():
        print(f"{name:<32}{result.median:>8.0f}{result.lowest:>8.0f}{result.highest:>8.0f}", file=sys.stderr)
    report = {name: result._asdict() for name, result in results.items()}
    print(json.dumps({"systems": report, "ratios": ratios(results), "seconds": options.seconds}))


if __name__ == "__main__":
    main()
