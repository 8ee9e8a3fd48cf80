"""Every configuration that is shipped."""

import re
from pathlib import Path

import pytest

from benchmarks.exploration_table import names
from configs.explain import to_yaml
from configs.layers import shipped_names
from configs.loader import load_config
from configs.schedule import ScheduleConfig
from configs.schema import Config

EXPERIMENTS = [name for name in shipped_names() if not name.startswith("fragments/")]
EXPERIMENTS_PAGE = Path(__file__).parents[2] / "docs" / "experiments.md"
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
    of_gymnasium = ("fragments/classic", "fragments/ppo_continuous", "fragments/minatar")
    bases = dict.fromkeys(of_gymnasium, "classic/cartpole_impala") | {
        "fragments/minigrid_ppo": "minigrid/doorkey_16_ppo"
    }
    load_config(bases.get(name, "atari/pong_impala"), extends=[name])


VTRACE_METHODS = re.compile(r"(.*)_(uniform|attentive|elite|laser|clear)")


@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if VTRACE_METHODS.fullmatch(name)])
def test_fragment_of_a_method_over_the_games_impala_is_the_shipped_experiment(name):
    game, method = VTRACE_METHODS.fullmatch(name).groups()
    assert load_config(f"{game}_impala", extends=[f"fragments/{method}"]) == load_config(name)


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


def test_montezuma_has_the_published_settings_of_lightning_rnd():
    config = load_config("montezuma/rnd")
    env, learner, rnd = config.env, config.learner, config.learner.rnd
    assert (env.id, env.sticky_actions, env.noop_max, env.fire_reset) == ("montezuma_revenge", 0.25, 0, False)
    assert (env.max_episode_frames, env.frame_skip, env.frame_stack, env.image_size) == (18_000, 4, 4, 84)
    assert (env.rooms, env.life_loss_terminates) == (True, False)
    assert config.actors.count * config.actors.envs_per_actor == learner.batch_columns == 128
    assert (config.actors.unroll_length, config.actors.max_policy_lag) == (128, 1)
    assert learner.batch_columns * config.actors.unroll_length // learner.minibatches == 4096
    assert config.run.total_env_steps == 10_000 * 128 * 128
    assert rnd.init_updates * config.actors.unroll_length == 1024
    assert (learner.objective, learner.estimator, learner.epochs, learner.clip) == ("ppo", "vtrace", 4, 0.1)
    assert (learner.discount, rnd.discount, learner.trace_decay) == (0.999, 0.99, 0.95)
    assert (learner.optimizer.kind, learner.optimizer.learning_rate.initial, learner.gradient_clip) == (
        "adam",
        1e-4,
        10,
    )
    assert (learner.terms.entropy.initial, learner.terms.value, learner.terms.intrinsic_value) == (0.001, 1, 1)
    assert (rnd.extrinsic_weight, rnd.intrinsic_weight, rnd.update_proportion) == (2, 1, 0.25)
    assert (learner.reward_transform, learner.normalize_advantages, learner.reduction) == ("clamp", False, "mean")
    assert (config.model.encoder.hidden, config.model.encoder.embedding, config.model.heads) == ((256,), 512, "mlp")


@pytest.mark.parametrize(("name", "base", "rnd"), [
    ("rnd_1_1", "rnd", {"extrinsic_weight": 1.0}),
    ("rnd_intrinsic_only", "rnd", {"extrinsic_weight": 0.0}),
    ("modified_rnd_448", "ppo_rnd", {"input": "embedding"}),
    ("modified_rnd_polyak_01", "modified_rnd_2048", {"embedding_source": "polyak", "tau": 0.01}),
    ("modified_rnd_polyak_05", "modified_rnd_2048", {"embedding_source": "polyak", "tau": 0.05}),
])  # fmt: skip
def test_runs_on_montezuma_differ_in_their_bonuses_alone(name, base, rnd):
    config, settings = load_config(f"montezuma/{name}"), load_config(f"montezuma/{base}").model_dump()
    settings["learner"]["rnd"] |= rnd
    assert config == Config.model_validate(settings)


@pytest.mark.parametrize(("name", "encoder"), [
    ("modified_rnd_2048", {"embedding": 2048}),
    ("modified_rnd_16", {"embedding": 16}),
    ("modified_rnd_conv", {"last_layer": "conv"}),
])  # fmt: skip
def test_modified_rnd_differs_in_its_encoder_alone(name, encoder):
    config, settings = load_config(f"montezuma/{name}"), load_config("montezuma/modified_rnd_448").model_dump()
    settings["model"]["encoder"] |= encoder
    assert config == Config.model_validate(settings)


@pytest.mark.parametrize(
    "name", [name for name in EXPERIMENTS if name.startswith("minigrid/") and name.endswith("_rnd")]
)
def test_pairs_on_minigrid_differ_in_bonuses_alone(name):
    with_bonuses, without = load_config(name), load_config(name.replace("_rnd", "_ppo"))
    assert with_bonuses.learner.rnd is not None and without.learner.rnd is None
    settings, plain = with_bonuses.model_dump(), without.learner.terms
    settings["learner"]["rnd"] = None
    settings["learner"]["terms"] |= {"intrinsic_value": plain.intrinsic_value, "rnd": plain.rnd}
    assert Config.model_validate(settings) == without


@pytest.mark.parametrize("name", ["montezuma/ppo_rnd", "mario/rnd", "classic/cartpole_pixels_rnd"])
def test_runs_of_rnd_repr_measure_their_inputs_in_50_updates(name):
    assert load_config(name).learner.rnd.init_updates == 50


def test_mario_has_rewards_in_fifteenths_within_1():
    config = load_config("mario/rnd")
    assert (config.learner.reward_transform, round(15 * config.learner.reward_scale, 6)) == ("clamp", 1.0)
    assert config.learner.rnd.extrinsic_weight == 5
    assert config.env.max_episode_frames == 18_000 * config.env.frame_skip


def test_page_of_experiments_names_configurations_that_load():
    shown = re.findall(r"`((?!fragments/)[a-z]+/[a-z0-9_]+(?: --[^`]*)?)`", EXPERIMENTS_PAGE.read_text())
    assert {text.split()[0] for text in shown} >= {*names()}
    for name, *overrides in map(str.split, shown):
        load_config(name, overrides)


def test_resolved_config_keeps_words_that_yaml_1_1_reads_as_booleans(tmp_path):
    config = load_config("demo", ["--logging.progress", "off"])
    resolved = tmp_path / "config.yaml"
    resolved.write_text(to_yaml(config))
    assert load_config(str(resolved)).logging.progress == "off"
