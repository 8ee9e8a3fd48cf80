"""Names of environments."""

import sys

import ale_py.roms
import pytest
from ale_py.registration import rom_id_to_name

from configs.games import atari_game, gymnasium_id, mario_id, minigrid_id

MULTIPLAYER = {"combat", "joust", "maze_craze", "warlords"}
GAMES = sorted(set(ale_py.roms.get_all_rom_ids()) - MULTIPLAYER)


@pytest.mark.parametrize("spelling", [
    "montezuma_revenge", "MontezumaRevenge", "ALE/MontezumaRevenge-v5", "MontezumaRevengeNoFrameskip-v4",
    "MontezumaRevengeDeterministic-v0", "MONTEZUMA_REVENGE", "MontezumaRevenge-v4",
])  # fmt: skip
def test_usual_spellings(spelling):
    assert atari_game(spelling) == "montezuma_revenge"


def test_every_game_is_known_by_every_spelling():
    for game in GAMES:
        name = rom_id_to_name(game)
        for spelling in (game, name, f"ALE/{name}-v5", f"{name}NoFrameskip-v4"):
            assert atari_game(spelling) == game


@pytest.mark.parametrize(("spelling", "nearest"), [
    ("pogn", "pong"), ("ALE/Brakeout-v5", "breakout"), ("montezuma", "montezuma_revenge"), ("Pong-ram-v5", "pong"),
])  # fmt: skip
def test_unknown_game_is_refused_with_the_nearest(spelling, nearest):
    with pytest.raises(ValueError, match=f"unknown Atari game '{spelling}'; the nearest is '{nearest}'"):
        atari_game(spelling)


@pytest.mark.parametrize("game", sorted(MULTIPLAYER))
def test_games_that_ale_cannot_start_are_unknown(game):
    with pytest.raises(ValueError, match="unknown Atari game"):
        atari_game(game)


@pytest.mark.parametrize("name", ["", "CartPole-v1\n", "../pong", "x" * 10_000])
def test_odd_names_are_refused_in_few_words(name):
    for check in (atari_game, gymnasium_id):
        with pytest.raises(ValueError, match="unknown") as caught:
            check(name)
        assert len(str(caught.value)) < 200


def test_ids_of_minatar_are_known_where_it_is_installed(monkeypatch):
    assert gymnasium_id("MinAtar/Breakout-v1") == "MinAtar/Breakout-v1"
    with pytest.raises(ValueError, match="the nearest is 'MinAtar/Breakout-v1'"):
        gymnasium_id("MinAtar/Braekout-v1")
    monkeypatch.setitem(sys.modules, "minatar.gym", None)
    with pytest.raises(ValueError, match=r"is not installed here; pip install 'rl-platform\[minatar\]'"):
        gymnasium_id("MinAtar/Breakout-v1")


def test_ids_of_minigrid_are_known_where_it_is_installed(monkeypatch):
    pytest.importorskip("minigrid")
    for env_id in ("MiniGrid-MultiRoom-N4-S5-v0", "MiniGrid-MultiRoom-N6-v0", "MiniGrid-KeyCorridorS3R3-v0"):
        assert minigrid_id(env_id) == env_id
    for unknown in ("MiniGrid-MultiRoom-N6-S5-v0", "minigrid-multiroom-n6-v0", "BabyAI-GoToRedBall-v0", ""):
        with pytest.raises(ValueError, match=f"unknown MiniGrid environment '{unknown}'; the nearest is 'MiniGrid-"):
            minigrid_id(unknown)
    with pytest.raises(ValueError, match="unknown MiniGrid environment"):
        minigrid_id("MiniGrid-WFC-MazeSimple-v0")  # its images are missing from minigrid's wheel
    monkeypatch.setitem(sys.modules, "minigrid", None)
    with pytest.raises(
        ValueError, match=r"^'MiniGrid-MultiRoom-N6-v0' is not .* here; pip install 'rl-platform\[minigrid\]'"
    ):
        minigrid_id("MiniGrid-MultiRoom-N6-v0")


def test_ids_of_mario_are_known_where_it_is_installed(monkeypatch):
    pytest.importorskip("gym_super_mario_bros")
    for env_id in ("SuperMarioBros-v0", "SuperMarioBros-v3", "SuperMarioBros-8-4-v1", "SuperMarioBros2-v1"):
        assert mario_id(env_id) == env_id
    with pytest.raises(ValueError, match="unknown Mario game 'SuperMarioBros2-v2'; the nearest is 'SuperMarioBros"):
        mario_id("SuperMarioBros2-v2")
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "gym_super_mario_bros")
    with pytest.raises(ValueError, match=r"is not installed here; pip install 'rl-platform\[mario\]'"):
        mario_id("SuperMarioBros-v0")


def test_gymnasium_ids():
    assert gymnasium_id("CartPole-v1") == "CartPole-v1"
    with pytest.raises(ValueError, match="the nearest is 'CartPole-v1'"):
        gymnasium_id("cartpole-v1")
    with pytest.raises(ValueError, match="names a module to import"):
        gymnasium_id("this:CartPole-v1")
