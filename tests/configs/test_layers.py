"""Files, fragments and overrides, and how they are laid over one another."""

import pytest

from configs.errors import ConfigError
from configs.layers import file_layers, override_layers
from configs.loader import load_config
from configs.merge import merge

CARTPOLE = "classic/cartpole_impala"
PONG = "atari/pong_impala"


def _write(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)


def _sources(*paths):
    return [layer.source.rpartition("/")[2] for layer in file_layers(*map(str, paths))]


def test_later_fragments_win_and_the_file_wins_over_all(tmp_path):
    _write(tmp_path, a="run: {seed: 1, keep_checkpoints: 1}", b="run: {seed: 2, torch_threads: 2}",
           main=f"extends: [{CARTPOLE}, a.yaml, b]\nrun: {{torch_threads: 3}}")  # fmt: skip
    run = load_config(str(tmp_path / "main.yaml")).run
    assert (run.seed, run.keep_checkpoints, run.torch_threads) == (2, 1, 3)


def test_extends_is_relative_to_the_file_before_it_is_a_shipped_name(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    _write(tmp_path / "sub", demo="run: {seed: 77}", main=f"extends: [{CARTPOLE}, demo]")
    monkeypatch.chdir(tmp_path)
    assert load_config("sub/main.yaml").run.seed == 77


def test_file_that_two_fragments_extend_is_laid_once(tmp_path):
    _write(
        tmp_path, base="run: {seed: 1}", a="extends: base\nrun: {seed: 2}", b="extends: base", main="extends: [a, b]"
    )
    assert _sources(tmp_path / "main.yaml") == ["base.yaml", "a.yaml", "b.yaml", "main.yaml"]


def test_parents_that_lie_below_are_not_laid_again_but_what_a_user_names_is(tmp_path):
    _write(tmp_path, parent="run: {seed: 1}", base="extends: parent\nrun: {seed: 2}", over="extends: parent")
    base, parent, over = (str(tmp_path / f"{name}.yaml") for name in ("base", "parent", "over"))
    assert _sources(base, over) == ["parent.yaml", "base.yaml", "over.yaml"]
    assert _sources(base, parent, over) == ["parent.yaml", "base.yaml", "parent.yaml", "over.yaml"]
    _write(tmp_path, main=f"extends: [{CARTPOLE}, {base}]")
    seeds = [load_config(str(tmp_path / "main.yaml"), extends=names).run.seed for names in ([over], [parent])]
    assert seeds == [2, 1]


def test_circle_of_extends_is_named_however_the_files_are_spelt(tmp_path):
    _write(tmp_path, a=f"extends: ../{tmp_path.name}/b.yaml", b="extends: ./a")
    with pytest.raises(ConfigError, match=r"a\.yaml → .*b\.yaml → .*a\.yaml"):
        file_layers(str(tmp_path / "a.yaml"))


def test_shipped_names_work_from_anywhere_and_paths_come_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_config(PONG).env.id == "pong"
    _write(tmp_path, demo=f"extends: {CARTPOLE}")
    assert load_config("demo").env.id == "CartPole-v1"


def test_fragments_are_laid_over_the_file_and_overrides_over_the_fragments(tmp_path):
    _write(tmp_path, over="run: {seed: 5, keep_checkpoints: 5}")
    run = load_config(PONG, ["--run.seed", "6"], [str(tmp_path / "over.yaml")]).run
    assert (run.seed, run.keep_checkpoints, run.total_env_steps) == (6, 5, 5_000_000)


@pytest.mark.parametrize(("overrides", "value"), [
    (["--learner.optimizer.learning_rate", "1e-4"], 1e-4),
    (["--learner.optimizer.learning_rate=6e-4"], 6e-4),
    (["--learner.optimizer.learning_rate", "1", "--learner.optimizer.learning_rate", "2"], 2.0),
    (["--learner.optimizer.learning_rate", "{initial: 3e-4, final: 0, over_env_steps: 5e6}"], 3e-4),
    (["--learner.optimizer.learning_rate.initial", ".5"], 0.5),
])  # fmt: skip
def test_override_of_a_number(overrides, value):
    assert load_config(PONG, overrides).learner.optimizer.learning_rate.initial == value


def test_plain_number_replaces_a_whole_schedule_and_one_key_of_it_does_not():
    whole = load_config(PONG, ["--learner.optimizer.learning_rate", "1e-4"]).learner.optimizer.learning_rate
    part = load_config(PONG, ["--learner.optimizer.learning_rate.initial", "1e-4"]).learner.optimizer.learning_rate
    assert (whole.final, whole.over_env_steps) == (None, None)
    assert (part.final, part.over_env_steps) == (0.0, 19_000_000)


def test_overrides_of_other_types():
    config = load_config(PONG, ["--run.total_env_steps", "10_000_000", "--run.max_seconds=null", "--run.dir", "out/x",
                                "--logging.tensorboard", "false", "--replay.sources.0.capacity", "64",
                                "--logging.progress", "on", "--learner.terms.entropy.initial", "0.02"])  # fmt: skip
    assert (config.run.total_env_steps, config.run.max_seconds, config.run.dir) == (10_000_000, None, "out/x")
    assert (config.logging.tensorboard, config.logging.progress) == (False, "on")
    assert (config.replay.sources[0].capacity, config.replay.sources[0].overflow) == (64, "block")
    assert config.learner.terms.entropy.initial == 0.02


def test_override_of_a_key_of_a_default_alternative_keeps_the_alternative(tmp_path):
    _write(tmp_path, main="env: {backend: ale, id: pong}")
    config = load_config(str(tmp_path / "main.yaml"), ["--learner.optimizer.epsilon", "0.1"])
    assert (config.learner.optimizer.kind, config.learner.optimizer.epsilon) == ("rmsprop", 0.1)


def test_element_of_a_list():
    assert load_config(CARTPOLE, ["--model.encoder.hidden.1", "32"]).model.encoder.hidden == (64, 32)
    assert load_config(CARTPOLE, ["--model.encoder.hidden", "[8]"]).model.encoder.hidden == (8,)
    with pytest.raises(ConfigError, match=r"--model.encoder.hidden.2: .*index from 0 to 1"):
        load_config(CARTPOLE, ["--model.encoder.hidden.2", "32"])
    with pytest.raises(ConfigError, match=r"model.encoder.hidden: must be a list"):
        load_config(CARTPOLE, [f"--model.encoder.hidden.{'9' * 20}", "32"])
    with pytest.raises(ConfigError, match=r"^--model.encoder.hidden.9+…$"):  # Python reads no number of so many digits
        load_config(CARTPOLE, [f"--model.encoder.hidden.{'9' * 5000}", "32"])


def test_another_alternative_replaces_the_block_whatever_the_order_of_overrides():
    for order in (1, -1):
        overrides = [("--env.id", "CartPole-v1"), ("--env.backend", "gymnasium"), ("--model.encoder.kind", "mlp")]
        config = load_config(PONG, [part for pair in overrides[::order] for part in pair])
        assert (config.env.backend, config.env.id, config.model.encoder.kind) == ("gymnasium", "CartPole-v1", "mlp")


@pytest.mark.parametrize(("arguments", "words"), [
    (["--run.seed"], "--run.seed: needs a value"),
    (["--run.seed", "--run.dir", "x"], "--run.seed: needs a value"),
    (["--run.seed="], "--run.seed: needs a value"),
    (["run.seed", "3"], "'run.seed' is not an override"),
    (["--run..seed", "3"], "'--run..seed' is not an override"),
    (["--run.seed", "[1"], "--run.seed, line 1"),
    (["--run.seed", "!!python/object:os.system x"], "tags such as"),
])  # fmt: skip
def test_malformed_override(arguments, words):
    with pytest.raises(ConfigError) as caught:
        override_layers(arguments)
    assert words in str(caught.value)


def test_names_that_no_terminal_shows_are_escaped():
    with pytest.raises(ConfigError) as caught:
        load_config(PONG, ["--run.\x1b[2J\n", "3"])
    assert str(caught.value).startswith(r"--run.\x1b[2J\n: unknown key")


@pytest.mark.parametrize(("arguments", "message"), [
    (["--run.sed", "3"], "--run.sed: unknown key; did you mean 'seed'?"),
    (["--run.seed", "-1"], "--run.seed: must be an integer, at least 0, at most 2,147,483,647, not -1"),
    (["--run", "3"], "--run: must be a mapping, not 3"),
    (["--run.seed.x", "3"], "--run.seed.x: run.seed: must be"),
    (["--learner.optimizer.betas", "[0.9, 0.99]"], "--learner.optimizer.betas: unknown key; it exists only with"),
])  # fmt: skip
def test_error_in_an_override_names_the_option(arguments, message):
    with pytest.raises(ConfigError) as caught:
        load_config(PONG, arguments)
    assert str(caught.value).startswith(message)


def test_merge_changes_neither_side():
    base, over = {"a": {"b": 1}, "c": [1, {"d": 2}]}, {"a": {"e": 3}, "c": {"1": {"d": 4}}}
    assert merge(base, over) == {"a": {"b": 1, "e": 3}, "c": [1, {"d": 4}]}
    assert base == {"a": {"b": 1}, "c": [1, {"d": 2}]}
    assert over == {"a": {"e": 3}, "c": {"1": {"d": 4}}}


def test_merge_replaces_lists_scalars_and_other_alternatives():
    assert merge({"a": [1, 2]}, {"a": [3]}) == {"a": [3]}
    assert merge({"a": {"b": 1}}, {"a": None}) == {"a": None}
    assert merge({"kind": "x", "b": 1}, {"kind": "y", "c": 2}) == {"kind": "y", "c": 2}
    assert merge({"kind": "x", "b": 1}, {"kind": "x", "c": 2}) == {"kind": "x", "b": 1, "c": 2}
