"""Are rooms that a run has hardly seen newer to it than those it knows? Bonuses of one state, on frames of both.

    python -m benchmarks.montezuma_walk --output walk.npz
    python -m benchmarks.montezuma_novelty RUN walk.npz [--out FILE]

Judges, with the bonuses of RUN's newest checkpoint, the frames of the 32 steps after first entries to new rooms, and
frames of the room where games begin. Prints JSON: for each room the mean bonus (normalised) with a 95 % bootstrap
interval, how often the run's players had been there, and its mean over that of the first room.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.intervals import mean_interval
from configs.loader import load_config
from learners.exploration.rnd import RandomNetworkDistillation
from learners.ranks import ONE_RANK
from learners.state import load_arrays
from rl_platform.runtime import build
from rl_platform.runtime.build_envs import env_spec
from rl_platform.runtime.build_exploration import make_rnd
from rl_platform.runtime.checkpoint import load_newest


def bonuses_of(run: Path) -> RandomNetworkDistillation:
    """What gives the bonuses in the newest checkpoint of a run."""
    config = load_config(str(run / "config.yaml"))
    found = load_newest(run / "checkpoints", print)
    if found is None or config.learner.rnd is None:
        raise SystemExit(f"{run} has no checkpoint, or no bonuses: name a run with learner.rnd")
    spec, state = env_spec(config), found[1]
    network = build.make_network(config, spec)
    load_arrays(network, state["model"])
    rnd = make_rnd(config, spec, network, torch.device("cpu"), ONE_RANK)
    assert rnd is not None
    rnd.load_state_dict(state["rnd"])
    return rnd


def judged(rnd: RandomNetworkDistillation, frames: np.ndarray) -> np.ndarray:
    """Normalised bonuses [N] of what the model would see [N, S, H, W] uint8."""
    return rnd.judge(torch.from_numpy(frames)[None])[0].numpy()


def mean(bonuses: np.ndarray) -> dict[str, float]:
    """Mean, and a 95 % bootstrap interval of it."""
    low, high = mean_interval(bonuses)
    return {"mean": float(bonuses.mean()), "low": low, "high": high, "frames": len(bonuses)}


def compare(run: Path, walk: Path) -> dict[str, Any]:
    """The report."""
    rnd, frames = bonuses_of(run), np.load(walk)
    rooms = json.loads((run / "exploration" / "rooms.json").read_bytes())["rooms"]
    familiar = judged(rnd, frames["familiar_frames"])
    parts = {int(frames["familiar_room"]): familiar}
    parts |= {
        int(room): judged(rnd, first) for room, first in zip(frames["rooms"], frames["first_frames"], strict=True)
    }
    return {
        str(room): mean(bonuses)
        | {"visits": rooms.get(str(room), {}).get("visits", 0), "over_first": float(bonuses.mean() / familiar.mean())}
        for room, bonuses in parts.items()
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("walk", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    text = json.dumps(compare(options.run, options.walk), indent=1)
    print(text)
    if options.out is not None:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
