"""What elite and attentive replay draw, beside uniform draws from the same ring of a real run under the same weights.

    python -m benchmarks.replay_draws [CONFIG] [--seconds 90] [--batches 100] [--run RUN] [--section.key=value ...]

Plays and learns in one process as the config says, for so many seconds and until the ring of its elite source is full:
columns of successive versions of the weights. `--run` begins with the weights of a run instead of fresh ones. Every
column is then scored once under the last weights, as a source scores its candidates (drift for elite, distance to the
current states for attentive), and every kind draws from that one ring with λ = 6: elite with each strategy, attentive,
uniform. No column is in a batch twice. Each batch is the one that the run would have had next: reuse counts are put
back to what the run left. (Counting on, strategy 3 would go through a ring that nothing enters, column by column.)

For each batch: KL(π‖μ) in nats, the mean over its valid steps, exactly from the distributions' parameters, π under the
last weights; and the mean distance to the current states. Each kind is compared with uniform batches, and with batches
of random columns that have its own columns' versions, one for one (`same_ages`, batch beside batch). Intervals are 95 %
bootstrap intervals of the difference of means over batches: they say how sure it is for this ring, not for other runs.

Prints a table to stderr and one JSON object; `lower` is "yes" or "no" where the interval excludes 0, else "unclear".
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from benchmarks.intervals import difference_interval, mean_interval
from configs.loader import load_config
from configs.replay import AttentiveSource
from configs.schema import Config
from replay.candidates import CandidateSchedule
from replay.eviction import evict_oldest
from replay.ring import ColumnRing
from replay.selection import STRATEGIES, Selection, nearest
from replay.source import Choice, ReplaySource
from rl_platform.core.acting import ActingNetwork
from rl_platform.core.distributions import distribution_of
from rl_platform.core.frames import stack_frames
from rl_platform.core.precision import resolve_precision
from rl_platform.core.spec import EnvSpec
from rl_platform.core.types import Weights
from rl_platform.runtime import build, build_envs
from rl_platform.runtime.checkpoint import State
from rl_platform.runtime.load import read_run

MULTIPLIER = 6.0
"""λ."""
COLUMNS_AT_ONCE = 16
FIXED = ("--cluster.mode=inline", "--actors.count=1", "--learner.device=cpu")


class Played(NamedTuple):
    """A full ring, and the weights that came last."""

    spec: EnvSpec
    ring: ColumnRing
    weights: Weights


class Columns(NamedTuple):
    """What there is to say of every slot of the ring, all [capacity]."""

    kl: np.ndarray
    """Σ KL(π‖μ) over the column's valid steps."""
    steps: np.ndarray
    """Valid steps."""
    distance: np.ndarray
    """To the current states, mean over the column."""
    drift: np.ndarray
    """Of the features since they were stored."""
    version: np.ndarray
    """Of the weights that acted."""


class Comparison(NamedTuple):
    """Batches of one kind beside others, in one measure."""

    kind: str
    other: Literal["uniform", "same_ages"]
    measure: Literal["kl", "distance"]
    mean: float
    other_mean: float
    difference: float
    low: float
    high: float

    @property
    def lower(self) -> Literal["yes", "no", "unclear"]:
        """Whether the kind's mean is below the other's."""
        if self.low <= 0.0 <= self.high:
            return "unclear"
        return "yes" if self.high < 0.0 else "no"


def with_source(config: Config, kind: str, candidates: dict[str, Any]) -> Config:
    """The configuration with a second source of that kind instead of the elite one, and so many candidates."""
    settings = config.model_dump()
    queue, elite = settings["replay"]["sources"]
    kept = elite if kind == "elite" else {key: elite[key] for key in AttentiveSource.model_fields}
    settings["replay"]["sources"] = [queue, kept | {"kind": kind, "candidates": candidates}]
    return Config.model_validate(settings)


def play(config: Config, seconds: float, state: State | None) -> Played:
    """Learn for so long and until the ring is full."""
    worker = build.make_worker(config, actor=0, incarnation=0)
    spec = build_envs.env_spec(config)
    shard, learner = build.make_shard(config, spec), build.make_learner(config, spec)
    if state is not None:
        learner.load_state_dict(state)
    ring, until = shard.sources[0].ring, time.monotonic() + seconds
    while time.monotonic() < until or len(ring) < ring.capacity:
        shard.insert(worker.collect(learner.weights())[0])
        while shard.status().ready:
            weights = learner.weights()
            learner.update(shard.next_batch(weights.version, weights))
    worker.close()
    return Played(spec, ring, learner.weights())


def scored(config: Config, played: Played, kind: Literal["elite", "attentive"]) -> np.ndarray:
    """Distances [capacity] of every column, from a draw of the config's source in which all are candidates."""
    taken, uses = replayed_columns(config), played.ring.uses.copy()
    candidates = {"initial": len(played.ring) / taken, "draws": None}
    source = build.make_shard(with_source(config, kind, candidates), played.spec).sources[0]
    source.ring = played.ring
    source.draw(taken, played.weights)
    played.ring.uses[:] = uses
    return played.ring.distance.copy()


def replayed_columns(config: Config) -> int:
    """Columns of a batch that come from the second source."""
    return round(config.replay.sources[1].share * config.learner.batch_columns)


@torch.inference_mode()
def divergences(config: Config, played: Played) -> tuple[np.ndarray, np.ndarray]:
    """Σ KL(π‖μ) over valid steps and their number, both [capacity]; π computed as the rollout actors do."""
    spec, ring = played.spec, played.ring
    precision = resolve_precision(config.model.precision, torch.device("cpu"), observation_dtype=spec.observation_dtype)
    network = ActingNetwork(build.make_network(config, spec), precision=precision)
    network.load(played.weights)
    kl, count = np.zeros(ring.capacity), np.zeros(ring.capacity)
    for slots in np.split(ring.filled(), range(COLUMNS_AT_ONCE, len(ring), COLUMNS_AT_ONCE)):
        steps = ring.read(slots)
        observation, is_first = (network.tensor(array.swapaxes(0, 1)) for array in (steps.observation, steps.is_first))
        if spec.frame_stack > 1:
            observation = stack_frames(observation, is_first, spec.frame_stack)
        params = network(observation, is_first, network.tensor(steps.memory)).params[:-1]
        behaviour = network.tensor(steps.behaviour.swapaxes(0, 1))
        each = distribution_of(spec.action).kl(params, behaviour).numpy().T
        kl[slots], count[slots] = np.where(steps.valid, each, 0.0).sum(1), steps.valid.sum(1)
    return kl, count


def look_at(config: Config, played: Played) -> Columns:
    """Every column under the last weights."""
    kl, steps = divergences(config, played)
    drift, distance = scored(config, played, "elite"), scored(config, played, "attentive")
    return Columns(kl, steps, distance, drift, played.ring.weight_version)


def draw(played: Played, scores: np.ndarray | None, select: Selection, *, columns: int, batches: int,
         seed: int) -> np.ndarray:  # fmt: skip
    """Slots [batches, columns] that a source over the played ring draws; `scores` [capacity], None: uniform."""
    choice = None
    if scores is not None:
        choice = Choice(CandidateSchedule(MULTIPLIER), lambda ring, slots, weights: scores[slots], select)
    source = ReplaySource("drawn", played.ring.capacity, evict=evict_oldest, choice=choice, min_fill=columns,
                          rng=np.random.default_rng(seed))  # fmt: skip
    source.ring = played.ring
    uses, drawn = source.ring.uses.copy(), []
    for _ in range(batches):
        drawn.append(source.draw(columns, played.weights))
        source.ring.uses[:] = uses
    return np.stack(drawn)


def same_ages(slots: np.ndarray, version: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Random columns [batches, columns], in each batch distinct and as many of each version as in `slots`."""
    held = {each: np.flatnonzero(version == each) for each in np.unique(version).tolist()}
    matched = []
    for batch in slots:
        wanted = zip(*np.unique(version[batch], return_counts=True), strict=True)
        matched.append(np.concatenate([rng.choice(held[int(each)], count, replace=False) for each, count in wanted]))
    return np.stack(matched)


def measured(columns: Columns, measure: Literal["kl", "distance"], slots: np.ndarray) -> np.ndarray:
    """The measure of each batch [batches]."""
    if measure == "distance":
        return columns.distance[slots].mean(1)
    return columns.kl[slots].sum(1) / columns.steps[slots].sum(1)


def compare(own: np.ndarray, other: np.ndarray, *, paired: bool) -> dict[str, float]:
    """Means, their difference and its interval, of batches [K] each; `paired`: batch for batch."""
    low, high = mean_interval(own - other) if paired else difference_interval(own, other)
    means = {"mean": float(own.mean()), "other_mean": float(other.mean())}
    return means | {"difference": float(own.mean() - other.mean()), "low": low, "high": high}


def comparisons(played: Played, columns: Columns, *, num_columns: int, batches: int, seed: int) -> list[Comparison]:
    """Every kind beside uniform batches and beside batches of the same ages."""
    rng, size = np.random.default_rng(seed), {"columns": num_columns, "batches": batches}
    uniform = draw(played, None, nearest, seed=seed, **size)
    drawn = {f"elite_{number}": draw(played, columns.drift, select, seed=seed + number, **size)
             for number, select in enumerate(STRATEGIES.values(), 1)}  # fmt: skip
    drawn["attentive"] = draw(played, columns.distance, nearest, seed=seed + len(drawn) + 1, **size)
    found = []
    for kind, own in drawn.items():
        for other, others in (("uniform", uniform), ("same_ages", same_ages(own, columns.version, rng))):
            for measure in ("kl", "distance") if kind == "attentive" else ("kl",):
                values = [measured(columns, measure, slots) for slots in (own, others)]
                found.append(Comparison(kind, other, measure, **compare(*values, paired=other == "same_ages")))
    return found


def line(each: Comparison) -> str:
    """For reading."""
    return (f"{each.kind:10} {each.measure:9} {each.mean:10.5f}   {each.other:10} {each.other_mean:10.5f}   "
            f"{each.difference:+10.5f} [{each.low:+.5f}, {each.high:+.5f}]  {each.lower}")  # fmt: skip


def report(played: Played, columns: Columns, found: list[Comparison]) -> dict[str, Any]:
    """What is printed."""
    ages = played.weights.version - columns.version[played.ring.filled()]
    return {
        "columns": len(played.ring),
        "version": played.weights.version,
        "ages": dict(zip(("min", "median", "max"), np.quantile(ages, [0, 0.5, 1]).tolist(), strict=True)),
        "kl_of_ring": float(columns.kl.sum() / columns.steps.sum()),
        "comparisons": [each._asdict() | {"lower": each.lower} for each in found],
    }


def main() -> None:
    """Play, score, draw, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("config", nargs="?", default="atari/pong_elite")
    parser.add_argument("--seconds", type=float, default=90.0, help="of playing and learning, at least")
    parser.add_argument("--batches", type=int, default=100, help="that each kind draws")
    parser.add_argument("--run", type=Path, help="a run's folder or checkpoint whose weights to begin with")
    options, overrides = parser.parse_known_args()
    torch.set_num_threads(1)
    config = load_config(options.config, [*FIXED, *overrides])
    if [source.kind for source in config.replay.sources] != ["queue", "elite"]:
        parser.error(f"{options.config} must have two replay sources, a queue and elite")
    played = play(config, options.seconds, None if options.run is None else read_run(options.run)[1])
    columns = look_at(config, played)
    found = comparisons(played, columns, num_columns=replayed_columns(config), batches=options.batches,
                        seed=config.run.seed)  # fmt: skip
    print("kind       measure         mean   beside           mean   difference [95 %]  lower", file=sys.stderr)
    print(*map(line, found), sep="\n", file=sys.stderr)
    print(json.dumps(report(played, columns, found)))


if __name__ == "__main__":
    main()
