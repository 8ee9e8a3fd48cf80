"""Two learner ranks against one with the same columns, on recorded Pong with the Nature CNN: largest differences.

Each case trains two processes over gloo on parts of the recorded batches, and one process on the parts put together,
from equal weights: fp64 for 200 updates on 4 columns x 3 steps, fp32 for 20 updates on 16 columns x 10 steps. Columns
are shared in halves (equal), 7 of 16 or 1 of 4 against the others with two valid steps each (unequal), or with one
rank, then the other, without a batch in two updates of three (starved). A last case trains the two ranks for 200
updates in fp32. Prints one JSON object: the largest absolute difference of a parameter for each case, with its limit,
and whether the two ranks are bit-identical; exit status 1 where a limit is exceeded or they are not.

    python -m benchmarks.rank_parity
"""

import json
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import numpy as np
import torch

from actors.envs.ale import AleVectorEnv
from models.build import build_actor_critic
from rl_platform.core.seeding import derive_seeds
from rl_platform.core.spec import EnvSpec
from rl_platform.core.types import Batch
from tests.learners.rank_batches import SITUATIONS, joined, record, shared
from tests.learners.rank_process import Case, make_learner, parameters, train, train_together

ENCODER = {"kind": "nature_cnn"}


class Setting(NamedTuple):
    """What a numeric type is checked with."""

    dtype: torch.dtype
    columns: int
    unroll_length: int
    batches: int
    updates: int
    limit: float
    learning_rate: float


SETTINGS = {
    "fp64": Setting(torch.float64, columns=4, unroll_length=3, batches=40, updates=200, limit=1e-9, learning_rate=6e-4),
    # A small learning rate: at 6e-4 the first updates of a fresh network blow up any rounding, that of the same columns
    # in another order in one process included.
    "fp32": Setting(torch.float32, columns=16, unroll_length=10, batches=20, updates=20, limit=1e-5,
                    learning_rate=2e-5),
}  # fmt: skip


def record_pong(setting: Setting) -> tuple[EnvSpec, list[Batch]]:
    """Consecutive unrolls of Pong under a fresh network, from the start of a game for each column."""
    env = AleVectorEnv(game="pong", seeds=derive_seeds(1, setting.columns, "env"))
    network = build_actor_critic(env.spec, encoder=ENCODER, seed=2)
    batches = record(env, network, unroll_length=setting.unroll_length, num_batches=setting.batches)
    env.close()
    return env.spec, batches


def differences(pool: ProcessPoolExecutor, name: str, setting: Setting) -> dict[str, dict[str, float | bool]]:
    """Of every case of one numeric type; `learned` is the farthest that a parameter has moved."""
    spec, recorded = record_pong(setting)
    results = {}
    for reduction in ("sum", "mean"):
        case = Case(setting.dtype, reduction, spec=spec, encoder=ENCODER, learning_rate=setting.learning_rate)
        for situation in SITUATIONS:
            began = time.monotonic()
            parts = shared(recorded, situation, setting.updates)
            ranks = train_together(pool, case, parts)
            alone = train(case, [joined(part) for part in parts]).parameters
            results[f"{name} {reduction} {situation}"] = {
                "max_difference": float(np.abs(ranks[0].parameters - alone).max()),
                "limit": setting.limit,
                "learned": float(np.abs(alone - parameters(make_learner(case))).max()),
                "ranks_identical": ranks[0].parameters.tobytes() == ranks[1].parameters.tobytes(),
                "seconds": round(time.monotonic() - began, 1),
            }
            print(
                f"{name} {reduction} {situation}",
                results[f"{name} {reduction} {situation}"],
                file=sys.stderr,
                flush=True,
            )
    return results


def identical_after_200(pool: ProcessPoolExecutor) -> bool:
    """Whether two ranks hold the same bytes after 200 updates in fp32, the type that runs use."""
    setting = SETTINGS["fp64"]._replace(dtype=torch.float32)
    spec, recorded = record_pong(setting)
    case = Case(setting.dtype, spec=spec, encoder=ENCODER, learning_rate=setting.learning_rate)
    ranks = train_together(pool, case, shared(recorded, "equal", setting.updates))
    return ranks[0].parameters.tobytes() == ranks[1].parameters.tobytes()


def main() -> None:
    """Run every case and print one line of JSON."""
    torch.set_num_threads(1)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        cases = {}
        for name, setting in SETTINGS.items():
            cases |= differences(pool, name, setting)
        identical = identical_after_200(pool)
    print(json.dumps({"cases": cases, "fp32_ranks_identical_after_200_updates": identical}))
    passed = all(case["max_difference"] <= case["limit"] and case["ranks_identical"] for case in cases.values())
    sys.exit(0 if passed and identical else 1)


if __name__ == "__main__":
    main()
