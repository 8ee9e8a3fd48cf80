"""The pipeline with real actors on CartPole: who is named when one fails, and what it survives."""

import itertools
import os
import signal
import time
from functools import partial
from types import SimpleNamespace

import pytest
import ray

from configs.loader import load_config
from configs.schema import Config
from rl_platform.runtime import build, build_envs, pipeline
from rl_platform.runtime.calls import Calls
from rl_platform.runtime.lockstep import Lockstep
from rl_platform.runtime.pipeline import Endpoints, LearnerError, Pipeline, ShardError
from rl_platform.runtime.ray_actors import LearnerActor, RankSpec, ReplayActor, RolloutActor
from rl_platform.runtime.rollout_group import NewActor, RolloutGroup

SETTINGS = ["--actors.envs_per_actor=8", "--actors.unroll_length=10", "--learner.batch_columns=8", "--cluster.mode=ray",
            "--actors.count=2"]  # fmt: skip
CONFIG = load_config("classic/cartpole_impala", SETTINGS)
HALF_BATCHES = load_config(
    "classic/cartpole_impala", [*SETTINGS, "--learner.batch_columns=16", "--replay.sources.0.capacity=40"]
)
"""Two unrolls make a batch, and the queue holds five: when the learner stands still, one unroll waits for another."""


@pytest.fixture(scope="module", autouse=True)
def local_ray():
    ray.init(address="local", num_cpus=4, include_dashboard=False, object_store_memory=80 * 2**20, log_to_driver=False)
    yield
    ray.shutdown()


class Heard:
    """Keeps what the pipeline tells."""

    def __init__(self):
        self.rollouts, self.fills, self.updates, self.lost = [], [], [], 0

    def add_rollout(self, info):
        self.rollouts.append(info)

    def add_shard(self, status):
        self.fills.append(status)

    def add_update(self, info):
        self.updates.append(info)

    def add_lost(self, env_steps):
        self.lost += env_steps


class Rig:
    """A pipeline and the actors that it connects."""

    def __init__(self, version: int = 0, answer_timeout_s: float = 60.0, config: Config = CONFIG):
        self.learner = LearnerActor.remote(RankSpec(0, 1, "gloo", 20.0), torch_threads=1)
        make_learner = partial(build.make_learner, config, build_envs.env_spec(config))
        ray.get(self.learner.begin.remote(make_learner, None, None, None))
        self.shard = ReplayActor.remote(partial(build.make_shard, config, build_envs.env_spec(config)))
        ray.get(self.shard.status.remote())
        self.handles = [RolloutActor.remote(partial(build.make_worker, config, actor, 0), torch_threads=1)
                        for actor in range(2)]  # fmt: skip
        self.rollouts = RolloutGroup(unrolls_in_flight=2, step_timeout_s=30.0, max_restarts_in_a_row=2)
        for actor, handle in enumerate(self.handles):
            self.rollouts.add(NewActor(actor, 0, handle))
        self.heard = Heard()
        endpoints = Endpoints(self.shard, self.learner, self.learner.weights.remote(), version)
        self.pipeline = Pipeline(endpoints, self.rollouts, build.throttle(config), self.heard, batches_ahead=2,
                                 answer_timeout_s=answer_timeout_s, lockstep=Lockstep())  # fmt: skip

    def step_until(self, reached, deadline_s: float = 60.0) -> None:
        give_up = time.monotonic() + deadline_s
        while not reached():
            assert time.monotonic() < give_up
            self.pipeline.step(0.5)

    def close(self) -> None:
        for actor in (*self.handles, self.learner, self.shard):
            ray.kill(actor)


@pytest.fixture
def rig():
    rig = Rig(answer_timeout_s=5.0)
    rig.step_until(lambda: len(rig.heard.updates) >= 5)
    yield rig
    rig.close()


def pids_of(*handles) -> list[int]:
    return ray.get([handle.__ray_call__.remote(lambda self: os.getpid()) for handle in handles])


def test_a_learner_that_stands_still_is_not_waited_for_for_ever_and_a_dead_one_is_named_in_one_line(rig):
    pid = pids_of(rig.learner)[0]
    os.kill(pid, signal.SIGSTOP)
    rig.step_until(lambda: rig.pipeline.updates_in_flight == 2)
    with pytest.raises(LearnerError, match="the updates in flight did not end within 1 s"):
        rig.pipeline.finish_updates(0, 1.0)
    with pytest.raises(LearnerError, match="no answer for 5 s"):
        rig.step_until(lambda: False)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(LearnerError, match=r"^it died [^\n]*$"):
        rig.pipeline.finish_updates(0, 20.0)


def test_a_wait_that_is_over_before_it_begins_is_named_like_any_other(rig, monkeypatch):
    now = itertools.count(step=0.6)
    os.kill(pids_of(rig.learner)[0], signal.SIGSTOP)
    rig.step_until(lambda: rig.pipeline.updates_in_flight == 2)
    monkeypatch.setattr(pipeline, "time", SimpleNamespace(monotonic=lambda: next(now)))
    with pytest.raises(LearnerError, match="the updates in flight did not end within 1 s"):
        rig.pipeline.finish_updates(0, 1.0)


def test_a_dead_replay_actor_is_named_whatever_was_asked_of_others(rig):
    os.kill(pids_of(rig.shard)[0], signal.SIGKILL)
    with pytest.raises(ShardError, match=r"^it died [^\n]*$"):
        rig.step_until(lambda: False)


def test_when_the_learner_fails_every_unroll_that_was_heard_of_goes_to_the_shard():
    rig = Rig(config=HALF_BATCHES)
    rig.step_until(lambda: len(rig.heard.updates) >= 5)
    pid = pids_of(rig.learner)[0]
    os.kill(pid, signal.SIGSTOP)
    rig.step_until(lambda: rig.pipeline.updates_in_flight == 2 and rig.pipeline.unrolls_in_flight == 1)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(LearnerError):
        rig.step_until(lambda: False)
    rig.pipeline.flush()
    collected = sum(info.env_steps for info in rig.heard.rollouts)
    assert (ray.get(rig.shard.status.remote()).arrived, rig.heard.lost) == (collected, 0)
    rig.close()


def test_batches_whose_columns_went_stale_are_passed_over_and_the_queue_never_overflows():
    """Unrolls made with version 0, for a learner that is taken to be at 100: each column is too old."""
    rig = Rig(version=100)
    rig.step_until(lambda: len(rig.heard.rollouts) >= 60)
    assert rig.heard.updates == []
    assert max(status.columns for status in rig.heard.fills) <= CONFIG.replay.sources[0].capacity
    assert ray.get(rig.learner.weights.remote()).version == 0
    rig.close()


@ray.remote
def answer(after: list[ray.ObjectRef]) -> None:
    ray.get(after)


def test_an_answer_that_overtakes_an_older_one_waits_for_its_turn():
    newer = ray.put("newer")
    older = answer.remote([newer])
    calls, dealt_with = Calls(), []
    for ref in (older, newer):
        calls.add(ref, dealt_with.append)
    assert ray.wait([older, newer], timeout=30)[0] == [newer]
    assert calls.oldest() == [older]
    ray.get(older)
    calls.handle_oldest()
    assert calls.oldest() == [newer]
    calls.handle_oldest()
    assert (calls.oldest(), dealt_with) == ([], [older, newer])
