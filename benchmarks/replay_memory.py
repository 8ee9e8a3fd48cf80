"""What a ring that holds 100,000 env steps of Pong takes: bytes of its arrays, and growth of the process.

    python -m benchmarks.replay_memory [CONFIG] [--env-steps 100000] [--section.key=value ...]

Plays the game with fresh weights until the config's first replay source, given room for so many env steps, is full.
`bytes_per_env_step` counts every array of the ring; `bound` is 1.03 · (T + S)/T frames, T steps being stored as T + S
single frames, and 2 bytes for each of a step's features. `rss_growth_bytes_per_env_step` is what the process has grown
by from the first unrolls, played and not stored, to the full ring.

Prints one JSON object; exit status 1 if the ring takes more than the bound.
"""

import argparse
import json
import math
import os
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from configs.loader import load_config
from configs.schema import Config
from replay.ring import ColumnRing
from replay.source import ReplaySource
from rl_platform.core.spec import EnvSpec
from rl_platform.runtime import build, build_envs

SLACK = 1.03
WARM_UP = 10
"""Unrolls that are played before memory is counted."""


class Memory(NamedTuple):
    """Of a full ring."""

    columns: int
    unroll_length: int
    env_steps: int
    """Columns · T: what a ring of so many env steps holds."""
    valid_share: float
    """Of these, those that are no resets."""
    features: int
    bytes_per_env_step: float
    bound: float
    rss_growth_bytes_per_env_step: float


def with_room(config: Config, env_steps: int) -> Config:
    """The configuration with its first replay source holding so many env steps in whole columns."""
    settings = config.model_dump()
    settings["replay"]["sources"][1]["capacity"] = env_steps // config.actors.unroll_length
    return Config.model_validate(settings)


def bound(config: Config, spec: EnvSpec) -> float:
    """Most bytes of an env step: frames with a little for everything else, and the features."""
    length = config.actors.unroll_length
    frame = math.prod(spec.frame_shape) * np.dtype(spec.observation_dtype).itemsize
    return SLACK * (length + spec.frame_stack) / length * frame + 2 * build.num_features(config)


def ring_bytes(ring: ColumnRing) -> int:
    """Of everything that it keeps of its columns, which fill it."""
    known = [array for array in ring.state_dict().values() if isinstance(array, np.ndarray)]
    return sum(array.nbytes for array in (*ring.read(ring.filled()), *known))


def rss_bytes() -> int:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def fill(config: Config, spec: EnvSpec) -> tuple[ReplaySource, int]:
    """The first replay source, full of played columns, and by how many bytes the process grew."""
    worker = build.make_worker(config, actor=0, incarnation=0)
    weights = build.make_learner(config, spec).weights()
    source = build.make_shard(config, spec).sources[0]
    for _ in range(WARM_UP):
        worker.collect(weights)
    before = rss_bytes()
    while len(source.ring) < source.ring.capacity:
        source.insert(worker.collect(weights)[0])
    worker.close()
    return source, rss_bytes() - before


def measure(config: Config) -> Memory:
    """Fill a ring and count."""
    spec, length = build_envs.env_spec(config), config.actors.unroll_length
    source, growth = fill(config, spec)
    columns = source.ring.capacity
    return Memory(
        columns=columns,
        unroll_length=length,
        env_steps=columns * length,
        valid_share=float(source.ring.read(source.ring.filled()).valid.mean()),
        features=build.num_features(config),
        bytes_per_env_step=ring_bytes(source.ring) / (columns * length),
        bound=bound(config, spec),
        rss_growth_bytes_per_env_step=growth / (columns * length),
    )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("config", nargs="?", default="atari/pong_elite")
    parser.add_argument("--env-steps", type=int, default=100_000, help="that the ring holds")
    options, overrides = parser.parse_known_args()
    torch.set_num_threads(1)
    config = load_config(options.config, overrides)
    if len(config.replay.sources) == 1:
        parser.error(f"{options.config} has no replay source beside the queue")
    found = measure(with_room(config, options.env_steps))
    print(json.dumps(found._asdict()))
    return 0 if found.bytes_per_env_step <= found.bound else 1


if __name__ == "__main__":
    sys.exit(main())
