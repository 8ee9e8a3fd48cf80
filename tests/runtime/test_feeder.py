"""The feeder with real actors on CartPole: who is named when one fails, and what it survives."""

import os
import signal
import time
from functools import partial

import pytest
import ray

from configs.loader import load_config
from rl_platform.runtime import build
from rl_platform.runtime.calls import Calls
from rl_platform.runtime.feeder import Feeder
from rl_platform.runtime.ray_actors import LearnerActor, ReplayActor, RolloutActor
from rl_platform.runtime.rollout_group import RolloutGroup

CONFIG = load_config(
    "classic/cartpole_impala",
    ["--actors.envs_per_actor=8", "--actors.unroll_length=10", "--learner.batch_columns=8", "--cluster.mode=ray",
     "--actors.count=2"],
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def local_ray():
    ray.init(address="local", num_cpus=4, include_dashboard=False, object_store_memory=80 * 2**20, log_to_driver=False)
    yield
    ray.shutdown()


class Heard:
    """Keeps what the feeder tells."""

    def __init__(self):
        self.rollouts, self.fills, self.updates = [], [], []

    def add_rollout(self, info):
        self.rollouts.append(info)

    def add_shard(self, status):
        self.fills.append(status)

    def add_update(self, info):
        self.updates.append(info)

    def origins(self) -> set[tuple[int, int]]:
        """(actor, incarnation) of every unroll."""
        return {info.origin[:2] for info in self.rollouts}


class Pipeline:
    """A feeder and the actors it feeds."""

    def __init__(self, version: int = 0):
        self.learner = LearnerActor.remote(
            partial(build.make_learner, CONFIG, build.env_spec(CONFIG)), None, torch_threads=1
        )
        self.shard = ReplayActor.remote(partial(build.make_shard, CONFIG))
        self.handles = {}
        self.rollouts = RolloutGroup(self._create, count=2, first_incarnation=0, unrolls_in_flight=2,
                                     step_timeout_s=30.0, max_restarts_in_a_row=2, report=print)  # fmt: skip
        self.heard = Heard()
        self.feeder = Feeder(rollouts=self.rollouts, shard=self.shard, learner=self.learner,
                             throttle=build.throttle(CONFIG), batches_ahead=2, weights=self.learner.weights.remote(),
                             version=version, listener=self.heard)  # fmt: skip

    def _create(self, actor: int, incarnation: int):
        make_worker = partial(build.make_worker, CONFIG, actor, incarnation)
        self.handles[actor] = RolloutActor.remote(make_worker, torch_threads=1)
        return self.handles[actor]

    def step_until(self, reached, deadline_s: float = 60.0) -> None:
        give_up = time.monotonic() + deadline_s
        while not reached():
            assert time.monotonic() < give_up
            self.feeder.step(0.5)

    def close(self) -> None:
        self.rollouts.close()
        for actor in (self.learner, self.shard):
            ray.kill(actor)


@pytest.fixture
def pipeline():
    pipeline = Pipeline()
    pipeline.step_until(lambda: len(pipeline.heard.updates) >= 5)
    yield pipeline
    pipeline.close()


def pids_of(*handles) -> list[int]:
    return ray.get([handle.__ray_call__.remote(lambda self: os.getpid()) for handle in handles])


def fails(pipeline: Pipeline) -> str:
    """Step until the feeder gives up; what it then says."""
    with pytest.raises(RuntimeError) as caught:
        pipeline.step_until(lambda: False)
    return str(caught.value)


def test_a_learner_that_stands_still_is_not_waited_for_for_ever_and_a_dead_one_is_named_in_one_line(pipeline):
    pid = pids_of(pipeline.learner)[0]
    os.kill(pid, signal.SIGSTOP)
    pipeline.step_until(lambda: pipeline.feeder.updates_in_flight == 2)
    with pytest.raises(RuntimeError, match="the updates in flight did not end within 1 s"):
        pipeline.feeder.finish_updates(1.0)
    os.kill(pid, signal.SIGKILL)
    message = fails(pipeline)
    assert message.startswith("the learner failed: it died") and "\n" not in message


def test_all_rollout_actors_may_die_at_once_but_not_the_replay_actor(pipeline):
    for pid in pids_of(*pipeline.handles.values()):
        os.kill(pid, signal.SIGKILL)
    pipeline.step_until(lambda: {(0, 1), (1, 1)} <= pipeline.heard.origins())
    trained = len(pipeline.heard.updates)
    pipeline.step_until(lambda: len(pipeline.heard.updates) > trained + 20)
    assert pipeline.heard.origins() == {(0, 0), (1, 0), (0, 1), (1, 1)}
    assert pipeline.rollouts.restarted == pipeline.rollouts.unrolls_lost == 2
    os.kill(pids_of(pipeline.shard)[0], signal.SIGKILL)
    message = fails(pipeline)
    assert message.startswith("the replay actor failed: it died") and "\n" not in message


def test_batches_whose_columns_went_stale_are_passed_over_and_the_queue_never_overflows():
    """Unrolls made with version 0, for a learner that is taken to be at 100: each column is too old."""
    pipeline = Pipeline(version=100)
    pipeline.step_until(lambda: len(pipeline.heard.rollouts) >= 60)
    assert pipeline.heard.updates == []
    assert max(status.columns for status in pipeline.heard.fills) <= CONFIG.replay.sources[0].capacity
    assert ray.get(pipeline.learner.weights.remote()).version == 0
    pipeline.close()


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
