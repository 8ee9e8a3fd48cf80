"""fragments/small: sizes and nothing else, over every experiment."""

from typing import Any

import pytest

from benchmarks.exploration_table import MIN_UPDATES, SMALL, env_steps, first_updates, names
from configs.layers import file_layers, shipped_names
from configs.loader import load_config

SIZES = {
    "run.total_env_steps",
    "actors.count",
    "actors.envs_per_actor",
    "actors.unroll_length",
    "learner.batch_columns",
}
EXPERIMENTS = names()


def flat(settings: Any, path: str = "") -> dict[str, Any]:
    """Values by their paths."""
    if not isinstance(settings, dict):
        return {path: settings}
    return {
        key: value
        for name, inner in settings.items()
        for key, value in flat(inner, f"{path}.{name}".lstrip(".")).items()
    }


def test_overlay_is_one_file_of_sizes():
    (layer,) = file_layers(SMALL)
    assert set(flat(layer.settings)) == SIZES


def test_every_kind_of_experiment_is_meant():
    assert {"montezuma/rnd", "montezuma/ppo", "minigrid/doorkey_16_ppo", "mario/rnd", "classic/cartpole_pixels_rnd",
            "atari/pong_ppo_repr_16"} <= set(EXPERIMENTS)  # fmt: skip
    assert not {"atari/pong_impala", "classic/cartpole_ppo", "demo"} & set(EXPERIMENTS)


@pytest.mark.parametrize("name", [name for name in shipped_names() if not name.startswith("fragments/")])
def test_overlay_changes_sizes_alone(name):
    full, small = (flat(load_config(name, extends=extends).model_dump()) for extends in ([], [SMALL]))
    assert full.keys() == small.keys()
    assert {key for key in full if full[key] != small[key]} <= SIZES


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_small_runs_learn_often_enough(name):
    config = load_config(name, extends=[SMALL])
    first = first_updates(name)
    steps = config.learner.batch_columns * config.actors.unroll_length
    assert config.run.total_env_steps // steps - first >= MIN_UPDATES
    assert env_steps(name) // steps - first >= MIN_UPDATES
