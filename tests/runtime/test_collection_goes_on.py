"""No configuration that is accepted stops collection for ever, however full its replay sources are."""

import random

import pytest

from configs.errors import ConfigError
from configs.loader import load_config
from configs.schema import Config
from rl_platform.runtime import build, build_envs
from tests.replay.columns import unroll

SHARES = ((1.0,), (0.5, 0.5), (0.75, 0.25), (0.625, 0.375), (0.25, 0.75), (0.5, 0.25, 0.25), (0.375, 0.5, 0.125))


def smallest_accepted(rng: random.Random) -> Config:
    """Random sizes and shares, with the smallest queue and then the least policy lag that are not refused."""
    batch, width = 8 * rng.randint(1, 5), rng.randint(1, 40)
    most = rng.choice(["null", rng.randint(2 * batch, 4 * batch)])  # twice a batch: room for a step, however large
    queue, *others = rng.choice(SHARES)
    replayed = [
        {"kind": "uniform", "share": share, "capacity": 400, "min_fill": rng.randint(40, 400)} for share in others
    ]
    fixed = [
        f"--learner.batch_columns={batch}",
        f"--learner.max_columns={most}",
        f"--actors.envs_per_actor={width}",
    ]

    def sources(capacity: int) -> str:
        return str([{"kind": "queue", "share": queue, "capacity": capacity}, *replayed]).replace("'", '"')

    roomy = next(c for c in range(1, 500) if accepted([*fixed, f"--replay.sources={sources(c)}"], lag=1000))
    return next(
        config
        for lag in range(1000)
        if (config := accepted([*fixed, f"--replay.sources={sources(roomy)}"], lag=lag)) is not None
    )


def accepted(overrides: list[str], lag: int) -> Config | None:
    try:
        return load_config("classic/cartpole_impala", [*overrides, f"--actors.max_policy_lag={lag}"])
    except ConfigError:
        return None


@pytest.mark.parametrize("seed", range(40))
def test_an_accepted_config_never_waits_for_ever_and_overruns_nothing(seed):
    """A learner that is never behind: whenever no batch is ready, another unroll may be collected, and finds room."""
    config = smallest_accepted(random.Random(seed))
    shard, throttle = build.make_shard(config, build_envs.env_spec(config)), build.throttle(config)
    version = 0
    for number in range(60):
        status = shard.status()
        assert throttle.may_collect(columns_ahead=status.columns, updates_begun=version, weight_version=version), config
        shard.insert(unroll(number % 200, config.actors.envs_per_actor, version=version))
        while shard.status().columns >= shard.status().batch_columns:
            assert shard.next_batch(version) is not None
            version += 1
    assert version > 0
