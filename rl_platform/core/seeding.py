"""Independent seeds from one run seed, by position in the system rather than by order of construction."""

import zlib

import numpy as np


def derive_seed(run_seed: int, *key: int | str) -> int:
    """A 31-bit seed for the part named by `key`, e.g. `derive_seed(1, "env", actor, incarnation)`.

    Different keys give independent streams (numpy's SeedSequence spawn keys); the same key gives the same seed on
    every machine.
    """
    spawn_key = tuple(zlib.crc32(part.encode()) if isinstance(part, str) else part for part in key)
    sequence = np.random.SeedSequence(entropy=run_seed, spawn_key=spawn_key)
    return int(sequence.generate_state(1, np.uint32)[0] >> 1)


def derive_seeds(run_seed: int, count: int, *key: int | str) -> np.ndarray:
    """`count` distinct 31-bit seeds [count] int32 for the parts of one group (the environments of an actor)."""
    seeds: dict[int, None] = {}  # in order
    for index in range(count):
        seed, draws = derive_seed(run_seed, *key, index), 1
        while seed in seeds:  # rare in a group of hundreds, likely in one of a hundred thousand
            seed, draws = derive_seed(run_seed, *key, index, "again", draws), draws + 1
        seeds[seed] = None
    return np.array(list(seeds), dtype=np.int32)
