"""What workers tell of rooms: by hand on a few steps, and on Montezuma's Revenge, where a key opens a door."""

import numpy as np

from actors.envs.ale_single import AleSingleVectorEnv
from actors.episodes import EpisodeStatistics
from actors.rollout_worker import RolloutWorker
from actors.rooms import ClipRecorder, Passages
from actors.uniform_policy import UniformPolicy
from rl_platform.core.interfaces import PolicyStep, StepResult
from rl_platform.core.rooms import START, Passage
from rl_platform.core.spec import ActionSpec, EnvSpec
from rl_platform.core.types import Episode, Weights
from tests.actors.montezuma_route import KEY_AND_DOOR

WEIGHTS = Weights(0, np.zeros(0, np.float32))
NOOP = 0


def step(room: list[int], *, is_first: list[bool], end: list[bool] | None = None) -> StepResult:
    """A step of two environments, reward 1."""
    first, ended = np.array(is_first), np.array(end or [False, False])
    blank = np.zeros((2, 1, 2, 2), np.uint8)
    return StepResult(blank, np.ones(2, np.float32), ended, ended & False, ~first, first, ended, room=np.array(room))


STEPS = [
    step([1, 1], is_first=[False, False]),
    step([1, 2], is_first=[False, False]),
    step([1, 1], is_first=[False, False], end=[False, True]),
    step([4, 1], is_first=[False, True]),
    step([1, 2], is_first=[False, False]),
    step([4, 2], is_first=[False, False], end=[True, True]),
]


def test_passages_are_counted_from_where_a_game_began():
    passages = Passages(2)
    entered = [passages.add(one).tolist() for one in STEPS]
    assert entered == [[0, 1], [1], [1], [0, 1], [0, 1], [0]]
    assert passages.take() == (
        Passage(START, 1, times=3, first=0),
        Passage(1, 2, times=2, first=2),
        Passage(2, 1, times=1, first=4),
        Passage(1, 4, times=2, first=6),
        Passage(4, 1, times=1, first=7),
    )
    passages.add(step([4, 3], is_first=[False, False]))
    assert passages.take() == (Passage(2, 3, times=1, first=0),), "counted anew, but nobody is lost"


def test_what_does_not_count_is_not_counted():
    passages = Passages(2)
    for one in STEPS:
        passages.add(one, counted=np.array([True, False]))
    assert passages.take() == (Passage(START, 1, 1, 0), Passage(1, 4, 2, 3), Passage(4, 1, 1, 4))


def test_an_episode_has_its_own_rooms_in_the_order_of_first_visits():
    statistics = EpisodeStatistics(2, task=np.zeros(2, np.int32))
    ended = [episode for one in STEPS for episode in statistics.add(one)]
    assert ended == [
        Episode(3.0, 3, 0, env=1, rooms=(1, 2)),
        Episode(6.0, 6, 0, env=0, rooms=(1, 4)),
        Episode(2.0, 2, 0, env=1, rooms=(1, 2)),
    ]


def test_a_clip_shows_two_seconds_before_an_entry_and_one_after_it():
    spec = EnvSpec("game", (1, 2, 2), "uint8", ActionSpec("categorical", 2), frame_skip=12)  # five steps a second
    recorder = ClipRecorder(spec, 2)
    clips = []
    for time in range(1, 60):
        recorder.add(np.stack([np.full((2, 2), time, np.uint8), np.full((2, 2), 100 + time, np.uint8)]))
        if time in (3, 30):
            recorder.begin(room=time, env=int(time == 30))
        clips += [(time, clip.room, clip.frames[:, 0, 0].tolist()) for clip in recorder.take_finished()]
    assert clips == [(8, 3, list(range(1, 9))), (35, 30, list(range(120, 136)))]
    recorder.begin(room=7, env=0)
    recorder.add(np.full((2, 2, 2), 60, np.uint8))
    ((room, frames),) = recorder.take_unfinished()
    assert (room, frames[:, 0, 0].tolist()) == (7, list(range(49, 61))), "two seconds before, and what there is after"
    assert recorder.take_unfinished() == []


class Script:
    """The actions of a list, then none, in every environment; values and parameters are zero."""

    version = 0

    def __init__(self, actions: list[int], num_envs: int):
        self._actions, self._num_envs = iter(actions), num_envs

    def load(self, weights: Weights) -> None:
        """There is nothing to load."""

    def initial_memory(self, num_envs: int) -> np.ndarray:
        return np.zeros((num_envs, 0), np.float32)

    def act(self, observation, is_first, memory, greedy=False) -> PolicyStep:
        n = self._num_envs
        action = np.full(n, next(self._actions, NOOP))
        return PolicyStep(action, np.zeros((n, 18), np.float32), np.zeros((n, 1), np.float32),
                          np.zeros((n, 0), np.float16), memory)  # fmt: skip


def montezuma(**settings) -> AleSingleVectorEnv:
    return AleSingleVectorEnv(game="montezuma_revenge", seeds=np.array([1], np.int32), noop_max=0, fire_reset=False,
                              **settings)  # fmt: skip


def test_a_worker_sees_the_player_leave_the_first_room():
    limit = len(KEY_AND_DOOR) + 30
    env = montezuma(room_byte=3, max_episode_frames=4 * limit)
    worker = RolloutWorker(env, Script(KEY_AND_DOOR, 1), unroll_length=10, num_params=18, num_values=1, actor=0,
                           incarnation=0, task=np.zeros(1, np.int32))  # fmt: skip
    infos = [worker.collect(WEIGHTS)[1] for _ in range(limit // 10 + 2)]
    entry = len(KEY_AND_DOOR) - 1
    where = [(index, passage) for index, info in enumerate(infos) for passage in info.rooms.passages]
    assert where == [
        (0, Passage(START, 1, 1, 0)),
        (entry // 10, Passage(1, 0, 1, entry % 10)),
        (limit // 10, Passage(START, 1, 1, limit % 10)),
    ]
    clips = {clip.room: clip.frames for info in infos for clip in info.rooms.clips}
    assert {room: frames.shape for room, frames in clips.items()} == {1: (16, 84, 84), 0: (46, 84, 84)}
    assert [episode.rooms for info in infos for episode in info.episodes] == [(1, 0)]
    assert infos[entry // 10].rooms.clips == (), "one second is still to come"
    inside, outside = clips[0][-1].astype(int), clips[0][0].astype(int)
    assert (np.abs(inside - outside) > 20).mean() > 0.2, "another room looks different"


def test_the_door_costs_a_key():
    """The route is that of a player: a hundred points for the key, three hundred for the door."""
    env = montezuma(room_byte=3)
    env.reset()
    rewards = [env.step(np.array([action])).reward[0] for action in KEY_AND_DOOR]
    assert [reward for reward in rewards if reward] == [100.0, 300.0]


def test_no_rooms_no_log():
    env = montezuma()
    worker = RolloutWorker(env, UniformPolicy(env.spec.action, seed=0), unroll_length=5, num_params=18, num_values=1,
                           actor=0, incarnation=0, task=np.zeros(1, np.int32))  # fmt: skip
    assert worker.collect(WEIGHTS)[1].rooms is None
