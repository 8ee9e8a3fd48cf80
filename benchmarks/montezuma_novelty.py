"""Are rooms that a run has hardly seen newer to it than those it knows? Bonuses of one state, on frames of both.

    python -m benchmarks.montezuma_walk --output walk.npz
    python -m benchmarks.montezuma_novelty RUN walk.npz [--out FILE]

Judges, with the bonuses of RUN's newest checkpoint (or of the checkpoint that RUN is), the frames of the 32 steps after
first entries to new rooms, and frames of the room where games begin. Prints JSON: for each room the mean bonus
(normalised), how often the run's players had been there when the checkpoint was taken, and its mean over that of the
first room; then the verdict. Exit status 1 unless the first room had been visited more than `FAMILIAR_VISITS` times,
each new room fewer times than that, and each new room's mean bonus is higher than the first room's.

The 95 % interval of a mean is a bootstrap over frames as if they were independent. Those of a walk follow one another:
it says how much bonuses vary within this walk, and is too narrow for another walk through the same room.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.intervals import mean_interval
from learners.exploration.rnd import RandomNetworkDistillation
from rl_platform.runtime.load import read_run
from rl_platform.runtime.trained_bonuses import make_trained_rnd

FAMILIAR_VISITS = 1_000


class Judged(NamedTuple):
    """What a run makes of one room."""

    mean: float
    """Of the bonuses, normalised."""
    low: float
    high: float
    frames: int
    visits: int
    over_first: float
    """Mean over that of the first room."""


class Comparison(NamedTuple):
    """The first room, and rooms beyond it by their numbers."""

    first_room: int
    rooms: dict[int, Judged]

    def failures(self) -> list[str]:
        """What speaks against: new rooms are newer to the run than the one it knows."""
        first = self.rooms[self.first_room]
        others = {room: judged for room, judged in self.rooms.items() if room != self.first_room}
        known = [f"room {self.first_room} is not familiar: {first.visits} visits"]
        visited = [f"room {room} is not new: {judged.visits} visits" for room, judged in others.items()
                   if judged.visits >= FAMILIAR_VISITS]  # fmt: skip
        dull = [f"room {room} has no higher bonus: {judged.over_first:.3g} of the first room's"
                for room, judged in others.items() if not judged.mean > first.mean]  # fmt: skip
        return [*(known if first.visits <= FAMILIAR_VISITS else []), *visited, *dull]


def compare(run: Path, walk: Path) -> Comparison:
    """Judge the frames of a walk with the bonuses of a run."""
    config, state, checkpoint = read_run(run)
    rnd, frames = make_trained_rnd(config, state), np.load(walk)
    if rnd is None:
        raise SystemExit(f"{checkpoint} has no bonuses: name a run with learner.rnd")
    counted = state["run"]["statistics"]["rooms"].get("rooms", {})
    first_room, familiar = int(frames["familiar_room"]), bonuses(rnd, frames["familiar_frames"])
    new = zip(frames["rooms"].tolist(), frames["first_frames"], strict=True)
    parts = {first_room: familiar} | {room: bonuses(rnd, shown) for room, shown in new}
    return Comparison(first_room, {
        room: Judged(float(part.mean()), *mean_interval(part), len(part), counted.get(str(room), {}).get("visits", 0),
                     float(part.mean() / familiar.mean()))
        for room, part in parts.items()
    })  # fmt: skip


def bonuses(rnd: RandomNetworkDistillation, frames: np.ndarray) -> np.ndarray:
    """Normalised bonuses [N] of what the model would see [N, S, H, W] uint8."""
    return rnd.judge(torch.from_numpy(frames)[None])[0].numpy()


def as_json(found: Comparison) -> dict[str, Any]:
    """For programs."""
    failures = found.failures()
    rooms = {str(room): judged._asdict() for room, judged in found.rooms.items()}
    return {"rooms": rooms, "first_room": found.first_room, "passed": not failures, "failures": failures}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("walk", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    found = compare(options.run, options.walk)
    text, failures = json.dumps(as_json(found), indent=1), found.failures()
    print(text)
    print("FAILED: " + "; ".join(failures) if failures else "passed: new rooms are newer than the familiar one",
          file=sys.stderr)  # fmt: skip
    if options.out is not None:
        options.out.write_text(text + "\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
