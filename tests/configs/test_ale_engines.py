"""Which engines can do what: refused where they cannot, in one line that says how to mend it."""

import pytest

from configs.errors import ConfigError
from configs.loader import load_config

MONTEZUMA = "--env.id=montezuma_revenge"


@pytest.mark.parametrize("engine", ["single", "envpool"])
@pytest.mark.parametrize(("game", "byte"), [("montezuma_revenge", 3), ("pitfall", 1)])
def test_rooms_are_read_where_they_are_known(engine, game, byte):
    env = load_config("atari/pong_impala", [f"--env.id={game}", f"--env.engine={engine}", "--env.rooms=true"]).env
    assert env.room_byte == byte


def test_no_rooms_are_told_by_default():
    env = load_config("atari/pong_impala", [MONTEZUMA]).env
    assert (env.engine, env.rooms, env.room_byte) == ("vector", False, None)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ([MONTEZUMA, "--env.rooms=true"], "set engine to single or envpool"),
        (["--env.engine=single", "--env.rooms=true"], "where pong keeps its room is not known; set rooms to false"),
        (["--env.engine=single", "--env.threads=2"], "threads 2: engine single"),
        (["--env.engine=single", "--env.image_size=168"], "image_size 168: .* 160 or less"),
        (["--env.engine=envpool", "--env.noop_max=0"], "noop_max 0: .* 1 or more"),
        (["--env.engine=envpool", "--env.maxpool=false"], "maxpool false: .* set it to true"),
        (["--env.engine=envpool", "--env.max_episode_frames=4001"], r"max_episode_frames 4001: .* frame_skip \(4\)"),
        (["--env.engine=gym"], "env.engine: must be vector | single | envpool"),
    ],
)
def test_what_an_engine_cannot_do_is_refused(overrides, words):
    with pytest.raises(ConfigError, match=words) as caught:
        load_config("atari/pong_impala", overrides)
    assert len(str(caught.value).splitlines()) == 1
