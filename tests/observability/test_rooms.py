"""Literal reports of workers in, statistics and pictures of rooms out."""

import json
import math
from collections import Counter

import numpy as np
import pytest
from matplotlib.image import imread

from rl_platform.core.rooms import START, Passage, RoomClip, RoomLog
from rl_platform.core.types import Episode, Origin, RolloutInfo
from rl_platform.observability.exploration import write_exploration
from rl_platform.observability.metrics import RunStatistics
from rl_platform.observability.room_graph import room_places, write_room_graph
from rl_platform.observability.rooms import RoomStatistics, room_report

FRAMES = np.zeros((20, 84, 84), np.uint8)


def rollout(*passages: Passage, rooms: tuple[tuple[int, ...], ...] = (), clips: tuple[RoomClip, ...] = ()):
    episodes = tuple(Episode(0.0, 10, 0, 0, visited) for visited in rooms)
    return RolloutInfo(Origin(0, 0, 0, 0), 100, episodes, (), 0.1, 0.1, RoomLog(passages, clips))


def three_unrolls() -> RoomStatistics:
    statistics = RoomStatistics()
    statistics.add(rollout(Passage(START, 1, 2, 0)))
    statistics.add(rollout(Passage(1, 2, 3, 40), Passage(2, 1, 2, 60), rooms=((1, 2), (1,))))
    statistics.add(rollout(Passage(1, 2, 1, 5), Passage(2, 6, 1, 30), Passage(START, 1, 1, 90), rooms=((1, 2, 6),)))
    return statistics


REPORT = {
    "rooms": {
        "1": {"visits": 5, "first_env_step": 0},
        "2": {"visits": 4, "first_env_step": 140},
        "6": {"visits": 1, "first_env_step": 230},
    },
    "passages": [[1, 2, 4], [2, 1, 2], [2, 6, 1]],
    "starts": [[1, 3]],
    "rooms_per_episode": [2, 1, 3],
}


def test_a_literal_report_and_row():
    statistics = three_unrolls()
    assert statistics.report() == REPORT
    assert statistics.take() == {"rooms_ever": 3, "rooms_per_episode_mean": 2.0, "rooms_per_episode_max": 3}


def test_the_means_are_over_the_last_hundred_episodes():
    statistics = three_unrolls()
    statistics.add(rollout(rooms=((1, 2),) * 100))
    assert statistics.take() == {"rooms_ever": 3, "rooms_per_episode_mean": 2.0, "rooms_per_episode_max": 2}


def test_before_the_first_episode_there_is_no_mean():
    statistics = RoomStatistics()
    statistics.add(rollout(Passage(START, 1, 1, 0)))
    row = statistics.take()
    assert row["rooms_ever"] == 1
    assert math.isnan(row["rooms_per_episode_mean"])
    assert math.isnan(row["rooms_per_episode_max"])


def test_a_checkpoint_brings_everything_back():
    state = json.loads(json.dumps(three_unrolls().state_dict()))
    restored = RoomStatistics()
    restored.load_state_dict(state, env_steps=300)
    assert restored.report() == REPORT
    again = rollout(Passage(1, 2, 1, 7), Passage(2, 3, 1, 50), rooms=((1, 2, 3),))
    uninterrupted = three_unrolls()
    for statistics in (uninterrupted, restored):
        statistics.add(again)
    assert restored.report() == uninterrupted.report()
    assert restored.report()["rooms"]["3"] == {"visits": 1, "first_env_step": 350}


def test_a_room_whose_entry_was_lost_is_entered_when_somebody_leaves_it():
    statistics = RoomStatistics()
    statistics.add(rollout(Passage(START, 1, 1, 0)))
    statistics.add(rollout(Passage(2, 3, 1, 40)))  # a feeder died with what told of 1 → 2
    assert statistics.report()["rooms"]["2"] == {"visits": 0, "first_env_step": 140}
    assert statistics.take()["rooms_ever"] == 3
    restored = RoomStatistics()
    restored.load_state_dict(json.loads(json.dumps(statistics.state_dict())), env_steps=200)
    assert restored.report() == statistics.report()


def test_runs_without_rooms_say_nothing_of_them(tmp_path):
    statistics = RunStatistics(frame_skip=4)
    statistics.add_rollout(RolloutInfo(Origin(0, 0, 0, 0), 100, (Episode(0.0, 10, 0),), (), 0.1, 0.1))
    assert not [key for key in statistics.row() if "room" in key]
    assert statistics.rooms.report() is None
    write_exploration(tmp_path, None, [], game="pong", frame_skip=4, with_bonus=True)
    assert list(tmp_path.iterdir()) == []


def test_the_first_clip_of_a_room_is_kept_until_it_is_dropped():
    statistics = three_unrolls()
    first, second = RoomClip(2, FRAMES), RoomClip(2, FRAMES + 1)
    statistics.add(rollout(clips=(first,)))
    statistics.add(rollout(clips=(second, RoomClip(6, FRAMES))))
    taken = statistics.clips()
    assert [clip.room for clip in taken] == [2, 6]
    assert taken[0].frames is first.frames
    statistics.drop_clips(taken)
    assert statistics.clips() == []


def test_the_folder_has_report_graph_and_clips(tmp_path):
    write_exploration(tmp_path, REPORT, [RoomClip(6, FRAMES)], game="montezuma_revenge", frame_skip=4, with_bonus=True)
    folder = tmp_path / "exploration"
    assert {path.name for path in folder.iterdir()} == {"rooms.json", "rooms.png", "room_06.mp4"}
    assert json.loads((folder / "rooms.json").read_text()) == REPORT
    before = (folder / "room_06.mp4").stat().st_mtime_ns
    write_exploration(
        tmp_path, REPORT, [RoomClip(6, FRAMES + 9)], game="montezuma_revenge", frame_skip=4, with_bonus=True
    )
    assert (folder / "room_06.mp4").stat().st_mtime_ns == before, "the first clip stays"


def test_the_bonus_is_drawn_where_there_is_one(tmp_path):
    rows = [{"env_steps": 100 * index, "bonus_mean": 1 / (1 + index)} for index in range(5)]
    rows.append({"env_steps": 600, "bonus_mean": None})
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_exploration(tmp_path, None, [], game="pong", frame_skip=4, with_bonus=True)
    assert [path.name for path in (tmp_path / "exploration").iterdir()] == ["bonus.png"]
    assert imread(tmp_path / "exploration" / "bonus.png").std() > 0.01


def test_montezumas_rooms_lie_in_a_pyramid():
    places = room_places("montezuma_revenge", [1, 99])
    assert len(places) == 25
    assert (places[1].x, places[1].y) == (0, 0), "the game begins at the top, in the middle"
    assert places[5].x == 0 and places[5].y == places[1].y - 1
    assert (places[0].x, places[2].x) == (-1, 1)
    assert (places[15].x, places[23].x) == (-4, 4)
    assert len(set(places.values())) == 25
    assert places[99].y < places[23].y, "a room that no map knows"


def test_other_games_rooms_lie_apart_on_a_circle():
    places = room_places("pitfall", [3, 70, 196, 226])
    assert set(places) == {3, 70, 196, 226}
    points = np.array(list(places.values()))
    distances = np.linalg.norm(points[:, None] - points[None], axis=2) + 9 * np.eye(4)
    assert distances.min() > 1.0
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), np.linalg.norm(points[0]))


@pytest.mark.parametrize("game", ["montezuma_revenge", "pitfall"])
def test_visits_and_passages_show_in_the_picture(tmp_path, game):
    few = room_report(Counter({(START, 1): 5}))
    many = room_report(Counter({(START, 1): 5, (1, 2): 3, (2, 1): 3}))
    red = []
    for name, report in (("few", few), ("many", many)):
        write_room_graph(report, game, tmp_path / f"{name}.png")
        picture = imread(tmp_path / f"{name}.png")[:, :, :3]
        red.append(((picture[:, :, 0] > 0.8) & (picture[:, :, 1] < 0.3)).sum())
    assert red[0] == 0, "passages are red, and there are none"
    assert red[1] > 100
