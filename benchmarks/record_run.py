"""Keep a run's results in docs/results: curve as CSV and PNG, config, and a line in the index.

    python benchmarks/record_run.py RUN NAME [--note "…"]

Writes docs/results/NAME/{curve.csv, curve.png, config.yaml} and entry NAME of docs/results/index.json: seed, commit,
env steps, frames, seconds, final return. Checkpoints and videos stay where they are.
"""

import argparse
import csv
import json
import re
import subprocess
from pathlib import Path

import yaml

from rl_platform.observability.curve import write_curve
from rl_platform.observability.metrics_file import read_rows

RESULTS = Path(__file__).parent.parent / "docs" / "results"
COLUMNS = ("env_steps", "env_frames", "learner_updates", "wall_s", "episodes", "episode_return_mean", "policy_lag_mean")
MAX_ROWS = 500


def write_csv(run: Path, path: Path) -> None:
    """The columns that make a curve: at most `MAX_ROWS` rows, the last among them."""
    rows = list(read_rows(run / "metrics.jsonl"))
    stride = -(-len(rows) // MAX_ROWS)
    kept = rows[len(rows) - 1 :: -stride][::-1]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)


def entry(run: Path, commit: str, note: str) -> dict:
    """What the index says of the run."""
    summary, config = json.loads((run / "summary.json").read_text()), yaml.safe_load((run / "config.yaml").read_text())
    names = ("env_steps", "env_frames", "learner_updates", "wall_s", "env_steps_per_s", "episode_return_mean", "status")
    origin = {"game": config["env"]["id"], "seed": config["run"]["seed"], "commit": full_hash(commit)}
    return origin | {name: summary[name] for name in names} | {"note": note}


def full_hash(commit: str) -> str:
    """The commit's whole name."""
    command = ["git", "rev-parse", commit]
    return subprocess.run(command, cwd=RESULTS.parent, capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    """Copy, convert, index."""
    parser = argparse.ArgumentParser(description="Keep a run's results in docs/results.")
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--commit", default="HEAD", help="of the code that ran")
    parser.add_argument("--note", default="")
    options = parser.parse_args()
    folder = RESULTS / options.name
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(options.run, folder / "curve.csv")
    write_curve([options.run], folder / "curve.png")
    config = (options.run / "config.yaml").read_text()
    (folder / "config.yaml").write_text(re.sub(r"(?m)^  dir: .*$", "  dir: runs/<env>_<timestamp>", config))
    index = RESULTS / "index.json"
    known = json.loads(index.read_text()) if index.exists() else {}
    known[options.name] = entry(options.run, options.commit, options.note)
    index.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
