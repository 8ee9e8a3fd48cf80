"""A short run whose numbers are kept, so that a change of behaviour shows even where nothing breaks.

Where the change is meant, write them anew and commit them with it:

    python -m tests.runtime.test_golden
"""

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest

from configs.loader import load_config
from rl_platform.runtime.checkpoint import load_newest
from rl_platform.runtime.train import train

GOLDEN = Path(__file__).with_name("golden.json")
CONFIG = [
    "--cluster.mode=inline", "--cluster.pipeline=serial", "--model.precision=fp32", "--run.torch_threads=1",
    "--actors.envs_per_actor=8", "--actors.unroll_length=10", "--learner.batch_columns=8", "--logging.progress=off",
    "--logging.tensorboard=false", "--logging.every_s=3600",
]  # fmt: skip
UPDATES = 30


def golden_run(directory: Path) -> dict[str, float]:
    """CartPole for 30 updates: counters, losses (means over all updates but the first) and the weights' norms."""
    summary, status = train(load_config("classic/cartpole_impala", [*CONFIG, "--run.total_env_steps=2280"]), directory)
    found = load_newest(directory / "checkpoints", print)
    assert status == 0 and found is not None
    row = json.loads((directory / "metrics.jsonl").read_text().splitlines()[-1])
    counters = {name: summary[name] for name in ("env_steps", "learner_updates", "episodes", "episode_return_mean")}
    losses = {name: row[name] for name in row if name.startswith("loss/") or name == "gradient_norm"}
    norms = {f"norm of {name}": float(np.linalg.norm(array)) for name, array in found[1]["model"].items()}
    return counters | losses | norms


def test_a_short_run_has_the_numbers_that_are_kept(tmp_path):
    """Sums are ordered differently on other processors: a part in ten thousand is left to that."""
    measured, kept = golden_run(tmp_path), json.loads(GOLDEN.read_text())
    assert kept["learner_updates"] == UPDATES
    assert measured == pytest.approx(kept, rel=1e-4, abs=1e-7)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        GOLDEN.write_text(json.dumps(golden_run(Path(folder)), indent=1) + "\n")
