"""Short runs of every method whose numbers are kept, so that a change of behaviour shows even where nothing breaks.

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
REPLAYING = ("--replay.sources.1.min_fill=24", "--replay.sources.1.capacity=48", "--run.total_env_steps=1200")
RUNS = {
    "classic/cartpole_impala": ("--run.total_env_steps=2280",),
    "classic/cartpole_ppo": ("--run.total_env_steps=800", "--learner.epochs=2", "--learner.minibatches=2"),
    "classic/cartpole_appo": ("--run.total_env_steps=1200",),
    "classic/cartpole_rnd": ("--run.total_env_steps=1200", "--learner.rnd.init_updates=2"),
    "classic/pendulum_appo": ("--run.total_env_steps=1200",),
    **{f"classic/cartpole_{method}": REPLAYING for method in ("clear", "laser", "uniform", "attentive", "elite")},
}
"""Config, and what is laid over it: 10 to 30 updates, few enough that rounding does not grow."""

SHOWN = ("loss/", "kl_", "rho_mean", "replay/", "accept_", "bonus_")


def golden_run(name: str, directory: Path) -> dict[str, float]:
    """Counters, losses and other metrics (means over all updates but the first) and the weights' norms."""
    summary, status = train(load_config(name, [*CONFIG, *RUNS[name]]), directory)
    found = load_newest(directory / "checkpoints", print)
    assert status == 0 and found is not None
    row = json.loads((directory / "metrics.jsonl").read_text().splitlines()[-1])
    counters = {name: summary[name] for name in ("env_steps", "learner_updates", "episodes", "episode_return_mean")}
    losses = {name: row[name] for name in row if name.startswith(SHOWN) or name == "gradient_norm"}
    norms = {f"norm of {name}": float(np.linalg.norm(array)) for name, array in found[1]["model"].items()}
    return counters | losses | norms


@pytest.mark.parametrize("name", RUNS)
def test_a_short_run_has_the_numbers_that_are_kept(tmp_path, name):
    """Sums are ordered differently on other processors: a part in ten thousand is left to that."""
    measured, kept = golden_run(name, tmp_path), json.loads(GOLDEN.read_text())[name]
    assert kept["learner_updates"] >= 10
    assert measured == pytest.approx(kept, rel=1e-4, abs=1e-6, nan_ok=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: golden_run(name, Path(folder) / str(number)) for number, name in enumerate(RUNS)}
    GOLDEN.write_text(json.dumps(runs, indent=1) + "\n")
