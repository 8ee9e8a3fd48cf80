"""Every mistake is answered by one line that names the key and says how to mend it."""

import os

import pytest

from configs.errors import ConfigError
from configs.loader import load_config

CARTPOLE = "env: {backend: gymnasium, id: CartPole-v1}\nmodel: {encoder: {kind: mlp}}\n"
PONG = "env: {backend: ale, id: pong}\n"
MINIGRID = "env: {backend: minigrid, id: MiniGrid-FourRooms-v0}\n"

BAD_SETTINGS = {
    "learner: {batch_colums: 32}": ["learner.batch_colums: unknown key", "did you mean 'batch_columns'"],
    "lerner: {batch_columns: 32}": ["lerner: unknown key", "did you mean 'learner'"],
    "seed: 3": ["seed: unknown key", "did you mean 'run.seed'"],
    "allow_code: os": ["allow_code: unknown key", "known: run, env"],
    "learner: {optimizer: {kind: adam, momentum: 0.9}}": ["momentum: unknown key", "only with kind: rmsprop"],
    "learner: {optimizer: {kind: adm}}": ["learner.optimizer.kind: must be", "did you mean 'adam'"],
    "learner: {optimizer: {kind: [adam]}}": ["learner.optimizer.kind: must be rmsprop | adam"],
    "run: {seed: true}": ["run.seed: must be an integer", "not true"],
    "run: {seed: '3'}": ["run.seed: must be an integer", "not '3'"],
    "run: {seed: 1.5}": ["run.seed: must be an integer", "not 1.5"],
    "run: {seed: null}": ["run.seed: must be an integer", "not null"],
    "run: {seed: -1}": ["run.seed", "at least 0, at most 2,147,483,647, not -1"],
    "run: {dir: 3}": ["run.dir: must be text"],
    "run: {dir: runs/<host>}": ["run.dir: ", "<env> and <timestamp>"],
    "run: [1]": ["run: must be a mapping"],
    "run:": ["run: must be a mapping, not null"],
    "run: {max_seconds: 0}": ["run.max_seconds: must be a number or null, above 0 (s), not 0"],
    "learner: {discount: 1.5}": ["learner.discount: must be a number, at least 0, at most 1, not 1.5"],
    "learner: {discount: .nan}": ["learner.discount: must be a number", "not nan"],
    "learner: {gradient_clip: .inf}": ["learner.gradient_clip: must be a number", "not +inf"],
    "learner: {gradient_clip: 1e999}": ["learner.gradient_clip: must be a number", "not +inf"],
    "learner: {estimator: gea}": ["learner.estimator: must be vtrace | gae, not 'gea'"],
    "learner: {estimator: gae, objective: ppo}": ["learner.estimator gae is for on-policy", "actors.max_policy_lag"],
    "{learner: {estimator: gae}, actors: {max_policy_lag: 0}}": ["learner.objective vtrace needs", "to ppo"],
    "learner: {epochs: 2}": ["learner.epochs", "set learner.objective to ppo or impact"],
    "learner: {reuse: {uses: 2}}": ["learner.reuse needs", "uses and batches to 1"],
    "learner: {reuse: {batches: 2}}": ["learner.reuse needs", "uses and batches to 1"],
    "learner: {objective: impact, minibatches: 33}": ["learner.minibatches 33 leaves some empty", "has 32; lower it"],
    "learner: {objective: ppo, minibatches: 641}": ["learner.minibatches 641", "transitions, of which a batch has 640"],
    "replay: {score_stride: 21, sources: [{kind: queue, share: 0.5}, {kind: elite}]}": [
        "replay.score_stride 21",
        "set it to actors.unroll_length (20) or less",
    ],
    "replay: {sources: [{kind: queue, share: 0.5}, {kind: attentive, distance: kl, norm: 1}]}": [
        "replay.sources.1.norm 1",
        "set it to 2, the default",
    ],
    "learner: {relevance: {threshold: 0}}": ["learner.relevance.threshold: must be a number, above 0 (nats), not 0"],
    "learner: {objective: ppo, pg_rho_clip: 2}": ["learner.pg_rho_clip 2", "set it to 1, the default"],
    "{learner: {estimator: gae, objective: ppo, c_clip: 0.5}, actors: {max_policy_lag: 0}}": ["learner.c_clip 0.5"],
    "{learner: {estimator: gae, objective: ppo, rho_clip: 2}, actors: {max_policy_lag: 0}}": ["learner.rho_clip 2"],
    "{learner: {estimator: gae, objective: ppo, relevance: {}}, actors: {max_policy_lag: 0}}": ["learner.relevance"],
    "{actors: {max_policy_lag: 0, count: 2}, cluster: {num_learners: 2, feeder: actor}}": ["actors.max_policy_lag 0"],
    "{learner: {max_columns: 512}, replay: {sources: [{kind: queue, share: 0.5}, {kind: uniform, capacity: 200}]}}": [
        "replay.sources.1.capacity 200 is less than the 256 columns",
    ],
    "learner: {rnd: {}, objective: impact}": ["learner.rnd needs", "set learner.objective to ppo or vtrace"],
    "learner: {rnd: {embedding_source: polyak}}": ["embedding_source polyak", "set learner.rnd.input to embedding"],
    "learner: {rnd: {input: embedding, tau: 0.5}}": ["learner.rnd.tau", "set learner.rnd.embedding_source to polyak"],
    "learner: {rnd: {extrinsic_weight: 0, intrinsic_weight: 0}}": ["are both 0", "raise one of them"],
    "{learner: {rnd: {init_updates: 9}}, run: {total_env_steps: 5760}}": [
        "learner.rnd.init_updates 9: these may be 5760 env steps, in which nothing is learned",
        "raise run.total_env_steps",
    ],
    "{learner: {rnd: {init_updates: 5}, max_columns: 64}, run: {total_env_steps: 6400}}": ["may be 6400 env steps"],
    "{learner: {rnd: {init_updates: 5}}, run: {total_env_steps: 6400}, actors: {count: 2}, "
    "cluster: {num_learners: 2, feeder: actor}}": ["may be 6400 env steps"],
    "learner: {rnd: {init_updates: 0}}": ["learner.rnd.init_updates", "at least 1"],
    "learner: {kl: {}}": ["learner.kl", "objective impact", "set it to null"],
    "learner: {clip: 1}": ["learner.clip: must be a number, above 0, below 1, not 1"],
    "learner: {clip: 0.1}": ["learner.clip 0.1", "has no ratios to clip", "set it to 0.2"],
    "learner: {target: {tau: 0.5}}": ["learner.target", "learner.objective impact", "leave it out"],
    "{learner: {objective: ppo, target: {every_updates: 8}}}": ["learner.target", "leave it out"],
    "learner: {max_columns: 16}": ["learner.max_columns 16 is below learner.batch_columns 32"],
    "learner: {terms: {policy_cloning: 0.1}}": ["learner.terms.policy_cloning", "add a source to replay.sources"],
    "learner: {terms: {value_cloning: 0.1}}": ["learner.terms.value_cloning", "set it to 0"],
    "replay: {checkpoint: true}": ["replay.checkpoint keeps replayed columns", "set it to false"],
    "replay: {sources: [{kind: queue, share: 0.9}, {kind: uniform, share: 0.1}]}": ["28.8 columns", "whole number"],
    "replay: {sources: [{kind: uniform, share: 1.0}]}": ["replay: sources must begin with a queue"],
    "replay: {sources: [{kind: queue, share: 0.5}, {kind: elite, min_fill: 8}]}": [
        "replay.sources.1.min_fill 8 must be at least the 16 columns",
    ],
    "{replay: {sources: [{kind: queue, share: 0.5}, {kind: uniform}]}, learner: {objective: ppo}}": [
        "learner.objective ppo clips ratios",
    ],
    "replay: {sources: [{kind: queue, share: 0.5}, {kind: elite, strategy: 3}]}": [
        "replay.sources.1.strategy: must be nearest | stratified",
    ],
    "learner: {terms: {entropy: lots}}": ["learner.terms.entropy: must be a number or a mapping", "not 'lots'"],
    "learner: {terms: {entropy: -1}}": ["learner.terms.entropy.initial: must be a number, at least 0"],
    "learner: {terms: {entropy: {initial: 1, final: 0}}}": ["learner.terms.entropy: ", "over_env_steps"],
    "learner: {c_clip: 2}": ["c_clip (2) exceeds rho_clip (1)"],
    "logging: {tensorboard: yes}": ["logging.tensorboard: must be true or false, not 'yes'"],
    "replay: {sources: []}": ["replay.sources: must be a list"],
    "replay: {sources: [{kind: queue, capacity: 0}]}": ["replay.sources.0.capacity: must be an integer, at least 1"],
    "replay: {sources: [{capacity: 64}]}": ["replay.sources.0.kind: is missing; give queue | uniform"],
    "replay: {sources: [{kind: queue, share: 0.5}]}": ["replay.sources add up to 0.5"],
    "replay: {sources: [{kind: queue, share: 0.5}, {kind: elite, norm: 0.5}]}": ["norm: must be a number, at least 1"],
    "cluster: {pipeline: overlapped}": ["cluster.pipeline overlapped is for cluster.mode inline"],
    "cluster: {mode: inline, address: auto}": ["cluster.address is for Ray"],
    "cluster: {mode: inline, gpus_per_learner: 1}": ["cluster.gpus_per_learner is for Ray"],
    "learner: {device: cuda}": ["learner.device cuda", "cluster.gpus_per_learner"],
    "{learner: {device: cpu}, cluster: {gpus_per_learner: 1}}": ["learner.device cpu", "set it to 0"],
    "actors: {unrolls_in_flight: 0}": ["actors.unrolls_in_flight: must be an integer, at least 1, at most 64", "not 0"],
    "cluster: {replay_cpus: -1}": ["cluster.replay_cpus: must be a number, at least 0 (logical CPUs), not -1"],
    "actors: {device: cuda}": ["actors.device cuda"],
    "model: {encoder: {kind: mlp}}": ["model.encoder.kind mlp", "set model.encoder.kind to nature_cnn"],
    "model: {encoder: {kind: mlp, hidden: [0]}}": ["model.encoder.hidden.0: must be", "at least 1"],
    "env: {id: pogn}": ["env.id: unknown Atari game 'pogn'", "'pong'"],
    "env: {id: 3}": ["env.id: must be text"],
    "env: {backend: atari}": ["env.backend: must be ale | gymnasium | minigrid | mario, not 'atari'"],
    "env: {frame_skip: 0}": ["env.frame_skip", "at least 1, at most 100 (emulator frames), not 0"],
    "env: {backend: gymnasium, id: CartPol-v1}": ["env.id: unknown gymnasium environment", "'CartPole-v1'"],
    "env: {backend: gymnasium, id: 'os:CartPole-v1'}": ["env.id: ", "names a module"],
    "env: {backend: gymnasium, id: ALE/Pong-v5}": ["env.id: ", "set env.backend to ale"],
    "env: {backend: gymnasium, id: MiniGrid-FourRooms-v0}": ["env.id: ", "set env.backend to minigrid"],
    "env: {backend: gymnasium, id: SuperMarioBros-v0}": ["env.id: ", "set env.backend to mario"],
    "env: {backend: gymnasium, id: CartPole-v1, pixels: {image_size: 35}}": ["env.pixels.image_size", "at least 36"],
    "{env: {backend: gymnasium, id: CartPole-v1, pixels: {}}, model: {encoder: {kind: mlp}}}": [
        "model.encoder.kind mlp does not fit env.pixels",
        "set model.encoder.kind to nature_cnn",
    ],
    "env: {backend: minigrid, id: MiniGrid-MultiRoom-N5-v0}": [
        "env.id: unknown MiniGrid",
        "'MiniGrid-MultiRoom-N6-v0'",
    ],
    "env: {backend: minigrid, id: MiniGrid-FourRooms-v0}": ["model.encoder.kind nature_cnn", "to grid_cnn"],
    "env: {backend: minigrid, id: MiniGrid-FourRooms-v0, level_seed: -1}": ["env.level_seed", "at least 0"],
    "env: {backend: minigrid, id: MiniGrid-FourRooms-v0, engine: envpool, level_seed: 1}": [
        "level_seed is for engine python",
        "set engine to python",
    ],
    "env: {backend: minigrid, id: MiniGrid-MultiRoom-N6-v0, engine: envpool}": [
        "most of EnvPool's levels of MiniGrid-MultiRoom-N6-v0 cannot be solved",
        "set engine to python",
    ],
    "env: {backend: minigrid, id: MiniGrid-FourRooms-v0, threads: 2}": ["threads is for engine envpool"],
    MINIGRID + "model: {encoder: {kind: grid_cnn, categories: [10, 6, 3, 4]}}": [
        "model.encoder.categories [10, 6, 3, 4] are fewer",
        "set them to [11, 6, 3, 4]",
    ],
    MINIGRID + "model: {encoder: {kind: grid_cnn, categories: [11, 6, 3]}}": [
        "model.encoder.categories [11, 6, 3] are fewer",
    ],
    "env: {backend: mario, id: SuperMarioBros-9-1-v0}": [
        "env.id: unknown Mario game",
        "the nearest is 'SuperMarioBros-",
    ],
    "{env: {backend: mario, id: SuperMarioBros-v0}, model: {encoder: {kind: mlp}}}": [
        "model.encoder.kind mlp does not fit env.backend mario",
    ],
    "env: {backend: gymnasium, id: CartPole-v1, kwargs: {a: [1]}}": ["env.kwargs.a: must be a number, text"],
    "env: {backend: gymnasium, id: CartPole-v1, kwargs: {id: x}}": ["env.kwargs: id"],
    "{run: {seed: -1}, actors: {count: 0}}": ["run.seed", "(and 1 more)"],
}


def _message(path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(str(path))
    return str(caught.value)


@pytest.mark.parametrize("settings", BAD_SETTINGS)
def test_bad_setting_is_one_line_that_names_key_and_file(settings, tmp_path):
    (tmp_path / "base.yaml").write_text(PONG)
    (tmp_path / "bad.yaml").write_text(settings)
    with pytest.raises(ConfigError) as caught:
        load_config(str(tmp_path / "base.yaml"), extends=[str(tmp_path / "bad.yaml")])
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert ".yaml: " in message
    for words in BAD_SETTINGS[settings]:
        assert words in message


BAD_FILES = {
    "run: !!python/object/apply:os.system ['touch pwned']": ["line 1", "tags such as"],
    "!!python/object/new:os.system [x]": ["tags such as"],
    "run: !!binary aGk=": ["tags such as"],
    "run: {seed: 1, seed: 2}": ["line 1", "'seed' is given twice"],
    "run:\n  seed: 1\nrun:\n  seed: 2": ["line 3", "'run' is given twice"],
    "a: &a [x]\nb: [*a, *a]": ["line 2", "aliases"],
    "run: {seed: 1": ["line 1"],
    "run: {1: 2}": ["line 1", "a key must be text"],
    "run: {seed: " + "9" * 5000 + "}": ["too many digits"],
    "[" * 1000: ["nested too deeply"],
    "- 1": ["must be a mapping of sections"],
    "pong": ["must be a mapping of sections"],
    "a: 1\n---\nb: 1": ["document"],
    "run: \x07": ["not YAML"],
    "": ["env: is missing"],
    "env: {id: pong}": ["env.backend: is missing; give ale | gymnasium | minigrid"],
    "env: {backend: ale}": ["env.id: is missing"],
    "extends: 3": ["extends: must be a path"],
    "extends: [nope]": ["extends: 'nope' is neither a file nor a shipped configuration"],
    "extends: bad.yaml": ["extends itself", "bad.yaml → "],
    "run: {seed: 1}\n" + "#" * 200_000: ["larger than 100 kB"],
}


@pytest.mark.parametrize("text", BAD_FILES, ids=lambda text: text[:40])
def test_bad_file_is_one_line_that_names_it(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text(text)
    message = _message(tmp_path / "bad.yaml")
    assert len(message.splitlines()) == 1
    assert "bad.yaml" in message
    for words in BAD_FILES[text]:
        assert words in message
    assert os.listdir(tmp_path) == ["bad.yaml"]


def test_file_that_is_not_text(tmp_path):
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe\x00run")
    assert "not UTF-8" in _message(tmp_path / "bad.yaml")


@pytest.mark.parametrize(("name", "words"), [
    ("/no/such/file.yaml", "neither a file nor a shipped configuration"),
    ("atari/pong_impla", "did you mean 'atari/pong_impala'?"),
    ("x" * 5000, "cannot be opened"),
    ("line\nbreak", "neither a file"),
])  # fmt: skip
def test_missing_file(name, words):
    message = _message(name)
    assert words in message
    assert len(message.splitlines()) == 1


def test_folder(tmp_path):
    assert "is a folder" in _message(tmp_path)


def test_unknown_key_is_reported_before_the_missing_one_that_it_stands_for(tmp_path):
    (tmp_path / "bad.yaml").write_text("env: {backend: ale, idd: pong}")
    assert "env.idd: unknown key; did you mean 'id'? (and 1 more)" in _message(tmp_path / "bad.yaml")


def test_error_names_the_file_that_set_the_key(tmp_path):
    (tmp_path / "fragment.yaml").write_text("run: {seed: x}")
    (tmp_path / "main.yaml").write_text("extends: fragment.yaml\n" + CARTPOLE)
    assert _message(tmp_path / "main.yaml").startswith(f"{(tmp_path / 'fragment.yaml').resolve()}: run.seed: ")
