"""Seeds: the same for the same key, different for different ones."""

import numpy as np

from rl_platform.core.seeding import derive_seed, derive_seeds


def test_a_key_has_one_seed_and_another_key_another():
    keys = [("env", 0), ("env", 1), ("env", 0, 0), ("policy", 0)]
    seeds = [derive_seed(run_seed, *key) for run_seed in (1, 2) for key in keys]
    assert seeds == [derive_seed(run_seed, *key) for run_seed in (1, 2) for key in keys]
    assert len(set(seeds)) == len(seeds)


def test_a_group_has_the_seeds_of_its_parts():
    seeds = derive_seeds(1, 50, "env", 3)
    assert seeds.dtype == np.int32 and seeds.min() >= 0
    assert seeds.tolist() == [derive_seed(1, "env", 3, index) for index in range(50)]


def test_a_seed_that_was_drawn_before_is_drawn_again():
    """Of run seed 27, 11,722 and 14,699 collide: with 31 bits one group of 20,000 in eleven has such a pair."""
    assert derive_seed(27, "env", 11_722) == derive_seed(27, "env", 14_699)
    seeds = derive_seeds(27, 14_700, "env")
    assert np.unique(seeds).size == 14_700
    assert seeds[11_722] == derive_seed(27, "env", 11_722)
    assert np.array_equal(seeds, derive_seeds(27, 14_700, "env"))
