"""The search for new rooms: what it finds is there, the same for the same seed, and never what it did not find."""

import numpy as np
import pytest

from actors.envs.ale_single import AleSingleVectorEnv
from benchmarks.montezuma_walk import STEPS_AFTER_ENTRY, Search, familiar_frames, first_room_frames, play, walk
from tests.actors.montezuma_route import KEY_AND_DOOR


def test_playing_actions_shows_what_they_lead_to():
    frames = play(KEY_AND_DOOR + [0] * 5)
    assert (frames.shape, frames.dtype) == ((len(KEY_AND_DOOR) + 5, 4, 84, 84), np.uint8)
    changed = (np.abs(np.diff(frames[:, -1].astype(int), axis=0)) > 20).mean(axis=(1, 2))
    assert changed[:-6].max() < 0.2 < changed[-6], "the last action leads to another room"
    np.testing.assert_array_equal(frames[1:, :-1], frames[:-1, 1:])


def test_random_play_stays_in_the_first_room():
    frames = familiar_frames(0, 300)
    assert frames.shape == (300, 4, 84, 84)
    np.testing.assert_array_equal(frames, familiar_frames(0, 300))
    assert (np.abs(frames[-1, -1].astype(int) - frames[10, -1]) > 20).mean() < 0.2


def test_frames_of_another_room_are_not_taken_for_familiar_ones():
    last = len(KEY_AND_DOOR)
    assert len(first_room_frames(KEY_AND_DOOR[: last - 1])) == last - 1
    with pytest.raises(RuntimeError, match=rf"after {last} actions the player is in room [02]; take another seed"):
        first_room_frames(KEY_AND_DOOR)


def test_a_search_that_ends_too_soon_says_so():
    with pytest.raises(RuntimeError, match=r"0 new rooms in 5\d\d env steps; give the search more"):
        walk(0, max_steps=500)


@pytest.mark.slow
def test_a_new_room_is_found_and_the_player_stays_there():
    search = Search(1)
    while not search.routes:
        assert search.steps < 200_000
        search.go_on()
    (room, actions), *others = search.routes.items()
    assert others == []
    assert room in (0, 2), "the doors of the first room lead there"
    env = AleSingleVectorEnv(game="montezuma_revenge", seeds=np.array([1], np.int32), noop_max=0, fire_reset=False,
                             room_byte=3)  # fmt: skip
    env.reset()
    rooms = [env.step(np.array([action])).room[0] for action in actions]
    assert set(rooms[: -STEPS_AFTER_ENTRY - 1]) == {1}
    assert rooms[-STEPS_AFTER_ENTRY:] == [room] * STEPS_AFTER_ENTRY
