"""No stage may become much slower than the frozen plain reference of the same work: ratios of CPU time alone.

Slices of both alternate, so that whatever else the machine does hits both alike, and CPU time leaves out what others
take. All ratios are about 1 or below; a stage that becomes half as slow again is beyond the bound.
"""

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

from configs.loader import load_config
from rl_platform.runtime.bench.stages import STAGES, Pair, alternate, measure_stage

BOUND = 1.3
SMALL = ["--actors.envs_per_actor=8", "--learner.batch_columns=8"]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_stage_is_much_slower_than_its_plain_reference():
    config = load_config("atari/pong_impala", SMALL)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:  # `update` changes its allocator
        costs = {
            stage: process.submit(measure_stage, config, stage, seconds=2.0, clock=time.process_time).result()
            for stage in STAGES
        }
    assert {stage: cost.ratio for stage, cost in costs.items() if not 0.3 < cost.ratio < BOUND} == {}


def test_a_stage_that_becomes_half_as_slow_again_is_beyond_the_bound():
    def work(times: int) -> None:
        for _ in range(times):
            np.sort(numbers)

    numbers = np.random.default_rng(0).random(20_000)
    slower = Pair(ours=lambda: work(15), plain=lambda: work(10), env_steps=1)
    cost = alternate(slower, seconds=1.0, clock=time.process_time, slice_s=0.05)
    assert BOUND < cost.ratio < 1.8
    assert cost.ratio_low <= cost.ratio <= cost.ratio_high


def test_equal_work_has_the_ratio_one():
    numbers = np.random.default_rng(0).random(100_000)
    same = Pair(ours=lambda: np.sort(numbers), plain=lambda: np.sort(numbers), env_steps=2)
    cost = alternate(same, seconds=1.0, clock=time.process_time, slice_s=0.05)
    assert cost.ratio == pytest.approx(1.0, abs=0.2)
    assert cost.ours_ms == pytest.approx(cost.plain_ms, rel=0.3)
