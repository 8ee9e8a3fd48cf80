"""The schema itself, its printed form, and what its values mean."""

import itertools
import pickle
from typing import get_args

import pytest
from pydantic import ValidationError

from configs.explain import explain
from configs.keys import sections_in, walk
from configs.loader import load_config
from configs.schedule import ScheduleConfig
from configs.schema import Config
from configs.section import Section
from rl_platform.core.schedule import Schedule
from rl_platform.runtime.throttle import Throttle

KEYS = list(walk(Config))


@pytest.mark.parametrize("key", KEYS, ids=lambda key: ".".join(key.path) + key.choice)
def test_every_key_says_what_it_means_and_numbers_have_a_range(key):
    assert key.field.description.endswith(".")
    numeric = {int, float} & {key.field.annotation, *get_args(key.field.annotation)}
    assert key.field.metadata or not numeric


@pytest.mark.parametrize("section", dict.fromkeys(s for key in KEYS for s in sections_in(key.field.annotation)))
def test_every_section_is_frozen_and_strict(section):
    assert issubclass(section, Section)
    assert section.model_config == Section.model_config
    assert section.model_config["frozen"]


def test_frozen():
    config = load_config("demo")
    with pytest.raises(ValidationError, match="frozen"):
        config.run.seed = 3


def test_defaults_of_a_run():
    config = load_config("atari/breakout_impala")
    assert (config.run.total_env_steps, Config(env=config.env).run.total_env_steps) == (10_000_000, 10_000_000)
    assert (config.actors.unrolls_in_flight, config.actors.step_timeout_s, config.cluster.replay_cpus) == (2, 30.0, 0.0)


def test_survives_pickling():
    config = load_config("classic/cartpole_impala", ["--env.kwargs.sutton_barto_reward", "true"])
    assert pickle.loads(pickle.dumps(config)) == config
    assert config.env.kwargs == {"sutton_barto_reward": True}


def test_explain_lists_every_key_with_both_alternatives():
    lines = explain().splitlines()
    for key in KEYS:
        name = ".".join(key.path) + (f"  [{key.choice}]" if key.choice else "")
        assert name in lines
    assert "learner.optimizer.betas  [kind: adam]" in lines
    assert "learner.optimizer.alpha  [kind: rmsprop]" in lines


def test_explain_gives_type_range_unit_default_and_sentence():
    text = explain()
    entry = text[text.index("learner.batch_columns") :].splitlines()[:3]
    assert entry[1] == "    an integer, at least 1, at most 65,536 (columns); default 32"
    assert entry[2] == "    Columns in a batch; a column is one environment's unroll."


def test_explain_of_the_unrolls_in_flight():
    text = explain()
    entry = text[text.index("actors.unrolls_in_flight") :].splitlines()[:3]
    assert entry[1] == "    an integer, at least 1, at most 64 (unrolls); default 2"
    assert entry[2].startswith("    Unrolls asked of a rollout actor at once")


def test_schedules_mean_what_the_core_means():
    falling = Schedule(**ScheduleConfig(initial=1.0, final=0.5, over_env_steps=100).model_dump())
    assert [falling(steps) for steps in (0, 50, 100, 1000)] == [1.0, 0.75, 0.5, 0.5]
    constant = Schedule(**ScheduleConfig.model_validate(0.25).model_dump())
    assert [constant(steps) for steps in (0, 1000)] == [0.25, 0.25]


def _comes_to_a_halt(batch: int, unroll: int, capacity: int | None, max_policy_lag: int) -> bool:
    """Play the throttle: batches as soon as they are full, else an unroll if it may be begun, else a halt."""
    throttle = Throttle(batch, unroll, max_policy_lag, capacity)
    columns = updates = 0
    for _ in range(4 * batch + 4):
        if columns >= batch:
            columns, updates = columns - batch, updates + 1
        elif throttle.may_collect(columns_ahead=columns, updates_begun=updates, weight_version=updates):
            columns += unroll
        else:
            return True
    return False


@pytest.mark.parametrize("capacity", [1, 4, 5, 6, 7, 8, 9, 12])
def test_refused_are_exactly_the_sizes_at_which_collection_would_halt(capacity):
    for batch, unroll, lag in itertools.product([1, 2, 3, 4, 6], [1, 2, 3, 4, 6, 8], [0, 1, 2]):
        overrides = [f"--learner.batch_columns={batch}", f"--actors.envs_per_actor={unroll}",
                     f"--actors.max_policy_lag={lag}", f"--replay.sources.0.capacity={capacity}"]  # fmt: skip
        if _comes_to_a_halt(batch, unroll, capacity, lag):
            with pytest.raises(ValueError, match=r"capacity|max_policy_lag"):
                load_config("classic/cartpole_impala", overrides)
        else:
            load_config("classic/cartpole_impala", overrides)


def test_dropping_queue_must_hold_a_batch_and_an_unroll():
    base = ["--replay.sources.0.overflow=drop_oldest", "--learner.batch_columns=16", "--actors.envs_per_actor=16"]
    load_config("classic/cartpole_impala", [*base, "--replay.sources.0.capacity=16"])
    with pytest.raises(ValueError, match=r"capacity 15 is too small.*set it to 16 or more"):
        load_config("classic/cartpole_impala", [*base, "--replay.sources.0.capacity=15"])
