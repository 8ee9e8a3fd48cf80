"""Checkpoints of replay sources while their replay actor dies, or takes its time."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import ray

from configs.loader import load_config
from rl_platform.runtime import build, build_envs
from rl_platform.runtime.ray_actors import ReplayActor
from rl_platform.runtime.snapshots import ReplaySnapshots
from tests.replay.columns import unroll

CONFIG = load_config(
    "classic/cartpole_impala",
    [
        "--replay.checkpoint=true",
        "--replay.sources=[{kind: queue, share: 0.5}, {kind: uniform, share: 0.5, capacity: 60, min_fill: 16}]",
    ],
)
LEARNER = {"env_steps": 1}


@pytest.fixture(scope="module", autouse=True)
def local_ray() -> Iterator[None]:
    ray.init(address="local", num_cpus=1, include_dashboard=False, object_store_memory=80 * 2**20, log_to_driver=False)
    yield
    ray.shutdown()


class Rig:
    """A replay actor that holds four columns, and the checkpoints of its sources."""

    def __init__(self, folder: Path):
        make_shard = partial(build.make_shard, CONFIG, build_envs.env_spec(CONFIG))
        self.shard = ReplayActor.options(num_cpus=0).remote(make_shard, build.make_contents(CONFIG, folder))
        self.snapshots = ReplaySnapshots({0: None})
        self.delivered: list[dict[str, Any]] = []
        self.insert(0)

    def insert(self, first_column: int) -> None:
        """Four columns more."""
        ray.get(self.shard.exchange.remote(None, None, unroll(first_column, 4)))

    def begin_checkpoint(self) -> None:
        take_learner = self.snapshots.ask({0: self.shard}, frozenset(), self.delivered.append)
        assert take_learner is not None
        take_learner(LEARNER)

    def checkpoint(self) -> dict[str, Any]:
        self.begin_checkpoint()
        before = len(self.delivered)
        self.tick_until(lambda: len(self.delivered) > before)
        return self.delivered[-1]

    def last(self) -> dict[str, Any]:
        return self.snapshots.now({0: self.shard}, frozenset())

    def tick_until(self, reached: Callable[[], bool]) -> None:
        give_up = time.monotonic() + 60
        while not reached():
            assert time.monotonic() < give_up
            self.snapshots.tick()

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def stand_still(self) -> None:
        self.pid = ray.get(self.shard.__ray_call__.remote(lambda self: os.getpid()))
        self.send(signal.SIGSTOP)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    ray.kill(rig.shard)


def columns_seen(checkpoint: dict[str, Any]) -> int:
    """How many the source had taken in when its state was saved."""
    return checkpoint["replay"]["rank_0"]["uniform_1"]["ring"]["seen"]


def test_a_checkpoint_during_which_the_replay_actor_dies_has_the_contents_that_are_known(rig):
    before = rig.checkpoint()
    ray.kill(rig.shard)
    assert rig.checkpoint()["replay"] == before["replay"]
    assert rig.last() == {"replay": before["replay"]}


def test_of_a_replay_actor_that_never_said_anything_nothing_is_saved(rig):
    ray.kill(rig.shard)
    assert rig.checkpoint() == LEARNER
    assert rig.last() == {}


def test_contents_that_come_late_are_those_of_the_next_checkpoint(rig, monkeypatch):
    assert columns_seen(rig.checkpoint()) == 4
    rig.insert(4)
    rig.stand_still()
    monkeypatch.setattr("rl_platform.runtime.snapshots._CONTENTS_S", 0.0)
    assert columns_seen(rig.checkpoint()) == 4
    rig.send(signal.SIGCONT)
    rig.tick_until(lambda: rig.snapshots.newest[0]["uniform_1"]["ring"]["seen"] == 8)
    rig.stand_still()
    assert columns_seen(rig.checkpoint()) == 8
    rig.send(signal.SIGCONT)


def test_a_last_checkpoint_waits_for_a_replay_actor_that_writes(rig, monkeypatch):
    monkeypatch.setattr("rl_platform.runtime.snapshots._CONTENTS_S", 0.0)
    assert columns_seen(rig.last()) == 4


def test_a_last_checkpoint_does_not_wait_for_a_replay_actor_that_stands_still(rig, monkeypatch):
    before = rig.last()
    rig.insert(4)
    rig.stand_still()
    monkeypatch.setattr("rl_platform.runtime.snapshots._CONTENTS_S", 0.0)
    monkeypatch.setattr("rl_platform.runtime.snapshots._ANSWER_S", 0.1, raising=False)
    assert rig.last() == before
    rig.send(signal.SIGCONT)
