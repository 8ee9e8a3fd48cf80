"""Every configuration that is shipped."""

import pytest

from configs.explain import to_yaml
from configs.layers import shipped_names
from configs.loader import load_config
from configs.schedule import ScheduleConfig

EXPERIMENTS = [name for name in shipped_names() if not name.startswith("fragments/")]
FRAGMENTS = [name for name in shipped_names() if name.startswith("fragments/")]


def test_something_is_shipped():
    assert {"atari/pong_impala", "atari/breakout_impala", "classic/cartpole_impala", "demo"} <= set(EXPERIMENTS)
    assert {"fragments/ale", "fragments/impala", "fragments/classic", "fragments/local_ray"} <= set(FRAGMENTS)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiment_loads_and_its_resolved_form_loads_back_equal(name, tmp_path):
    config = load_config(name)
    resolved = tmp_path / "config.yaml"
    resolved.write_text(to_yaml(config))
    assert load_config(str(resolved)) == config


@pytest.mark.parametrize("name", FRAGMENTS)
def test_fragment_can_be_laid_over_an_experiment(name):
    of_gymnasium = name in ("fragments/classic", "fragments/ppo_continuous", "fragments/minatar")
    base = "classic/cartpole_impala" if of_gymnasium else "atari/pong_impala"
    load_config(base, extends=[name])


def test_pong_has_the_published_settings():
    config = load_config("atari/pong_impala")
    assert (config.env.id, config.env.noop_max, config.env.fire_reset, config.env.sticky_actions) == (
        "pong",
        30,
        True,
        0,
    )
    assert (config.actors.count, config.actors.envs_per_actor, config.actors.unroll_length) == (2, 16, 20)
    assert config.learner.optimizer.learning_rate == ScheduleConfig(initial=6e-4, final=0, over_env_steps=19_000_000)
    assert (config.learner.optimizer.epsilon, config.learner.gradient_clip, config.learner.reduction) == (
        0.01,
        40,
        "sum",
    )
    assert (config.cluster.mode, config.actors.max_policy_lag, config.run.total_env_steps) == ("ray", 3, 5_000_000)


def test_resolved_config_keeps_words_that_yaml_1_1_reads_as_booleans(tmp_path):
    config = load_config("demo", ["--logging.progress", "off"])
    resolved = tmp_path / "config.yaml"
    resolved.write_text(to_yaml(config))
    assert load_config(str(resolved)).logging.progress == "off"
