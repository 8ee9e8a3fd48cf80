"""How fast a learner is that is fed from memory, half of each batch being uniform, elite, attentive or no replay.

    python -m benchmarks.replay_rate [--rounds 5] [--updates 100] [--section.key=value ...]

Rollouts are off: unrolls of Pong, recorded before, lie in the object store, and every exchange hands the shard as many
columns as a batch has, whatever it takes of them, so that insertion costs every kind the same. As in a run over Ray,
the learner has a process of its own, each shard too, and `replay.prefetch` batches are under way: the next batch is
asked for, with the newest weights, while the learner works on the one before. λ stays at 6 and every step is scored
(`replay.score_stride` 1). Nothing else should run: the shard needs the second core.

Prints the medians of the rounds, in which the kinds take turns, to stderr and one JSON object: updates/s of each round,
ratios to the queue alone with their limits (uniform 0.9, elite 0.7; attentive has none), and `score_age`, the most
updates between the weights that candidates were compared under and those that learned from them. Exit status 1 if a
ratio is below its limit or a score more than one update old.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import cycle, islice
from typing import Any, NamedTuple

import ray
import torch

from configs.loader import load_config
from configs.schema import Config
from rl_platform.core.spec import EnvSpec
from rl_platform.runtime import build, build_envs
from rl_platform.runtime.build_replay import compares_features
from rl_platform.runtime.ray_actors import LearnerActor, RankSpec, ReplayActor

KINDS = {"queue": "atari/pong_impala", "uniform": "atari/pong_uniform", "elite": "atari/pong_elite",
         "attentive": "atari/pong_attentive"}  # fmt: skip
LIMITS = {"uniform": 0.9, "elite": 0.7}
FIXED = ("--actors.max_policy_lag=1000000000", "--replay.score_stride=1", "--run.eval=null")
"""Recorded columns never grow too old."""
MULTIPLIER = 6.0
"""λ."""
RECORDED = 16
"""Unrolls that the shards are fed with, again and again."""
WARM_UP = 5
"""Updates before each measurement."""
SETUP = "rl_platform._import_guard.import_siblings"
"""What a worker process of Ray does first, as in a run."""


class Fed(NamedTuple):
    """One stretch of updates."""

    updates_per_s: float
    score_age: int
    """Most updates between the weights that came with a request for a batch and those that learned from it."""


class Feed:
    """A learner and one kind's shard, with what passes between them. The learner is shared by all kinds.

    Args:
      unrolls: references; each exchange takes the next ones, a whole batch of columns.
    """

    def __init__(self, config: Config, learner: Any, shard: Any, unrolls: Sequence[ray.ObjectRef]):
        self._learner, self._shard, self._unrolls = learner, shard, cycle(unrolls)
        self._unrolls_per_batch = config.learner.batch_columns // config.actors.envs_per_actor
        self._prefetch, self._scores = config.replay.prefetch, compares_features(config.replay)

    def fill(self, num_unrolls: int) -> None:
        """Offer so many unrolls to the shard's sources."""
        for _ in range(num_unrolls):
            ray.get(self._shard.exchange.remote(None, None, next(self._unrolls)))

    def run(self, updates: int) -> Fed:
        """Take `WARM_UP` updates and so many more, which are measured from end to end."""
        first, weights = ray.get([self._learner.progress.remote(), self._learner.weights.remote()])
        newest, weights, under_way, ages, ended = first.version, ray.put(weights), deque(), [], []
        for begun in range(newest, newest + WARM_UP + updates):
            if len(under_way) == self._prefetch:
                newest, weights = _end(under_way.popleft())
                ended.append(time.perf_counter())
            ages.append(begun - newest)
            under_way.append(self._ask(begun, weights))
        for update in under_way:
            _end(update)
            ended.append(time.perf_counter())
        return Fed(updates / (ended[-1] - ended[WARM_UP - 1]), max(ages))

    def _ask(self, begun: int, weights: ray.ObjectRef) -> tuple[ray.ObjectRef, ray.ObjectRef]:
        """Ask for an update on the shard's next batch, as `runtime.pipeline` does."""
        unrolls = islice(self._unrolls, self._unrolls_per_batch)
        _, batch = self._shard.exchange.remote(begun, weights if self._scores else None, *unrolls)
        return self._learner.update.remote(batch)


def _end(update: tuple[ray.ObjectRef, ray.ObjectRef]) -> tuple[int, ray.ObjectRef]:
    """Wait for an update; the version of its weights, and these."""
    info = ray.get(update[0])
    assert info is not None, "the shard had no batch"
    return info.version, update[1]


def configured(name: str, overrides: Sequence[str]) -> Config:
    """The configuration, with λ constant and a queue that lets go of what was not taken."""
    settings = load_config(name, [*FIXED, *overrides]).model_dump()
    queue, *replayed = settings["replay"]["sources"]
    queue["overflow"] = "drop_oldest"
    for source in replayed:
        if "candidates" in source:
            source["candidates"] = {"initial": MULTIPLIER, "draws": None}
    return Config.model_validate(settings)


def record(config: Config, spec: EnvSpec) -> list[ray.ObjectRef]:
    """Consecutive unrolls under fresh weights, in the object store."""
    worker = build.make_worker(config, actor=0, incarnation=0)
    weights = build.make_learner(config, spec).weights()
    unrolls = [ray.put(worker.collect(weights)[0]) for _ in range(RECORDED)]
    worker.close()
    return unrolls


def feeds(configs: dict[str, Config]) -> dict[str, Feed]:
    """One learner, and a full shard for each kind."""
    richest = configs["elite"]  # its unrolls carry features; they do for every kind
    spec = build_envs.env_spec(richest)
    unrolls = record(richest, spec)
    learner = LearnerActor.remote(RankSpec(0, 1, "gloo", 60.0), torch_threads=1)
    ray.get(learner.begin.remote(partial(build.make_learner, richest, spec), None, None, None))
    found = {}
    for kind, config in configs.items():
        found[kind] = Feed(config, learner, ReplayActor.remote(partial(build.make_shard, config, spec)), unrolls)
        columns = max(source.capacity for source in config.replay.sources)
        found[kind].fill(-(-columns // config.actors.envs_per_actor))
    return found


def measure(configs: dict[str, Config], *, rounds: int, updates: int) -> dict[str, list[Fed]]:
    """Each kind's stretches: the kinds take turns, in the other direction every other round."""
    found, fed = feeds(configs), {kind: [] for kind in configs}
    for number in range(rounds):
        for kind in list(configs)[:: -1 if number % 2 else 1]:
            stretch = found[kind].run(updates)
            fed[kind].append(stretch)
            print(f"round {number + 1} {kind:8} {stretch.updates_per_s:8.2f} updates/s", file=sys.stderr, flush=True)
    return fed


def report(fed: dict[str, list[Fed]]) -> dict[str, Any]:
    """What is printed, and whether it `passed`."""
    medians = {kind: statistics.median(each.updates_per_s for each in rounds) for kind, rounds in fed.items()}
    ratios = {kind: median / medians["queue"] for kind, median in medians.items() if kind != "queue"}
    age = max(each.score_age for rounds in fed.values() for each in rounds)
    return {
        "updates_per_s": {kind: [round(each.updates_per_s, 3) for each in rounds] for kind, rounds in fed.items()},
        "medians": medians,
        "ratios": ratios,
        "limits": LIMITS,
        "score_age": age,
        "passed": age <= 1 and all(ratios[kind] >= limit for kind, limit in LIMITS.items()),
    }


@contextmanager
def own_ray() -> Iterator[None]:
    """A Ray of its own, for as long as it is needed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(address="local", num_cpus=2, object_store_memory=512 * 2**20, include_dashboard=False,
             log_to_driver=False, runtime_env={"worker_process_setup_hook": SETUP})  # fmt: skip
    try:
        yield
    finally:
        ray.shutdown()


def main() -> int:
    """Measure every kind and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--updates", type=int, default=100, help="of each kind in each round")
    options, overrides = parser.parse_known_args()
    torch.set_num_threads(1)
    configs = {kind: configured(name, overrides) for kind, name in KINDS.items()}
    with own_ray():
        found = report(measure(configs, rounds=options.rounds, updates=options.updates))
    for kind, median in found["medians"].items():
        print(f"{kind:8} {median:8.2f} updates/s  {median / found['medians']['queue']:.3f} of queue", file=sys.stderr)
    print(json.dumps(found))
    return 0 if found["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
