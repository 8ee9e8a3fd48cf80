"""Rollout actors that die, raise or hang are named and replaced; nothing else stops."""

import os
import signal
import time
from functools import partial

import gymnasium
import numpy as np
import pytest
import ray

from actors.envs.gymnasium_env import GymnasiumVectorEnv
from actors.rollout_worker import RolloutWorker
from actors.uniform_policy import UniformPolicy
from rl_platform.core.types import Weights
from rl_platform.runtime import rollout_group
from rl_platform.runtime.ray_actors import RolloutActor
from rl_platform.runtime.rollout_group import NewActor, RolloutGroup


@pytest.fixture(scope="module", autouse=True)
def local_ray():
    ray.init(num_cpus=4, include_dashboard=False, object_store_memory=80 * 2**20, log_to_driver=False)
    yield
    ray.shutdown()


class Sleepy(gymnasium.Env):
    """Counts its steps, and hangs when it is built, at its first step or after 50, as its incarnation has it."""

    observation_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, fate: str):
        self._hangs_after = {"hang": 50, "hang at once": 0}.get(fate, 10**9)
        self._steps = 0
        if fate == "never built":
            time.sleep(3600)

    def reset(self, *, seed=None, options=None):
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self._steps += 1
        if self._steps > self._hangs_after:
            time.sleep(3600)
        return np.full(1, os.getpid() % 7 / 7, np.float32), 1.0, False, self._steps % 10 == 0, {}


def make_worker(fates, actor: int, incarnation: int) -> RolloutWorker:
    if fates[min(incarnation, len(fates) - 1)] == "refuse":
        raise RuntimeError("this machine lacks the game")
    gymnasium.register("Sleepy-v0", Sleepy)
    env = GymnasiumVectorEnv(env_id="Sleepy-v0", seeds=np.array([1, 2], np.int32),
                             kwargs={"fate": fates[min(incarnation, len(fates) - 1)]})  # fmt: skip
    policy = UniformPolicy(env.spec.action, seed=1)
    return RolloutWorker(env, policy, unroll_length=20, num_params=2, num_values=1, actor=actor,
                         incarnation=incarnation, task=np.zeros(2, np.int32))  # fmt: skip


class Group(RolloutGroup):
    """A group whose vacant places are filled as a supervisor fills them."""

    def __init__(self, fates: tuple[str, ...], count: int, **settings):
        super().__init__(**settings)
        self.fates, self.handles, self.reports = fates, {}, []
        for actor in range(count):
            self._create(actor, 0)

    def _create(self, actor: int, incarnation: int) -> None:
        make = partial(make_worker, self.fates, actor, incarnation)
        self.handles[actor] = RolloutActor.options(num_cpus=1).remote(make, torch_threads=1)
        self.add(NewActor(actor, incarnation, self.handles[actor]))

    def fill(self) -> None:
        for lost in self.take_lost():
            self.reports.append(lost.reason)
            self._create(lost.actor, lost.incarnation + 1)

    def close(self) -> None:
        for handle in self.handles.values():
            ray.kill(handle)


def make_group(*fates: str, count: int = 1, **settings) -> tuple[Group, list[str], dict]:
    settings = {"step_timeout_s": 1.0, "max_restarts_in_a_row": 2, "unrolls_in_flight": 2} | settings
    group = Group(fates, count, **settings)
    return group, group.reports, group.handles


def pid_of(handle) -> int:
    return ray.get(handle.__ray_call__.remote(lambda self: os.getpid()))


def next_info(group: RolloutGroup, weights, deadline_s: float = 60.0):
    """The next unroll's info, whatever has to be replaced before it comes."""
    give_up = time.monotonic() + deadline_s
    while time.monotonic() < give_up:
        for actor in group.free():
            group.collect(actor, weights)
        ready, _ = ray.wait(group.pending(), timeout=0.2)
        for ref in ready:
            if (result := group.receive(ref)) is not None:
                return result[0]
        group.give_up_hanging()
        group.fill()
    raise TimeoutError("no unroll came")


def test_a_killed_actor_is_replaced_and_its_unroll_counted_as_lost():
    group, reports, handles = make_group("live", count=2)
    weights = ray.put(Weights(0, np.zeros(0, np.float32)))
    next_info(group, weights)
    os.kill(pid_of(handles[1]), signal.SIGKILL)
    while not reports:
        next_info(group, weights)
    while (origin := next_info(group, weights).origin).actor == 0:
        assert origin.incarnation == 0
    assert origin[:2] == (1, 1)
    assert group.unrolls_lost == len(reports) == 1
    assert reports[0].startswith("it died")
    group.close()


def test_an_actor_stuck_in_an_environment_is_named_with_its_stack_and_replaced():
    group, reports, _ = make_group("hang", "live")
    weights = ray.put(Weights(0, np.zeros(0, np.float32)))
    infos = [next_info(group, weights) for _ in range(6)]
    assert [info.origin.incarnation for info in infos] == [0, 0, 1, 1, 1, 1]
    assert "environment 0 of 2 (Sleepy-v0) has not returned for" in reports[0]
    assert "time.sleep(3600)" in reports[0]
    assert group.unrolls_lost == len(reports) == 1
    group.close()


def test_an_actor_stuck_in_its_very_first_step_is_asked_as_soon_as_any_other():
    group, reports, _ = make_group("hang at once", "live")
    weights = ray.put(Weights(0, np.zeros(0, np.float32)))
    assert next_info(group, weights, deadline_s=30.0).origin.incarnation == 1
    assert "time.sleep(3600)" in reports[0]
    group.close()


def test_an_actor_that_is_never_built_is_replaced_after_the_time_that_starting_may_take(monkeypatch):
    monkeypatch.setattr(rollout_group, "_START_S", 1.0)
    group, reports, _ = make_group("never built", "live")
    weights = ray.put(Weights(0, np.zeros(0, np.float32)))
    group.collect(0, weights)
    while not reports:
        ray.wait(group.pending(), timeout=0.2)
        group.give_up_hanging()
        group.fill()
    monkeypatch.undo()
    assert next_info(group, weights).origin.incarnation == 1
    assert "while it started and built its environments: no answer for" in reports[0]
    group.close()


def test_an_actor_that_answers_nothing_is_replaced_and_nobody_waits_for_it(monkeypatch):
    monkeypatch.setattr(rollout_group, "_ANSWER_S", 1.0)
    group, reports, handles = make_group("live", count=2)
    weights = ray.put(Weights(0, np.zeros(0, np.float32)))
    while {next_info(group, weights).origin.actor for _ in range(4)} != {0, 1}:
        pass  # both have started
    os.kill(pid_of(handles[1]), signal.SIGSTOP)
    longest = 0.0
    while not reports:
        next_info(group, weights)
        before = time.monotonic()
        group.give_up_hanging()
        longest = max(longest, time.monotonic() - before)
        group.fill()
    assert longest < 0.5
    assert reports[0].startswith("while it collected: no answer for")
    group.close()


@pytest.mark.parametrize("unrolls", [1, 3])
def test_no_more_unrolls_are_asked_of_an_actor_at_once_than_configured(unrolls):
    group, _, _ = make_group("live", unrolls_in_flight=unrolls)
    weights = ray.put(Weights(0, np.zeros(0, np.float32)))
    while group.free():
        group.collect(0, weights)
    assert len(group.pending()) == group.in_flight == unrolls
    assert [ray.get(ref).origin.sequence for ref in group.pending()] == list(range(unrolls))
    group.close()


def test_an_actor_that_cannot_start_fails_the_run_with_its_reason():
    group, _, _ = make_group("refuse")
    weights = ray.put(Weights(0, np.zeros(0, np.float32)))
    with pytest.raises(RuntimeError, match=r"rollout actor 0 failed 3 times in a row: .*this machine lacks the game"):
        next_info(group, weights)
    group.close()


def test_a_slow_actor_that_still_steps_is_left_alone():
    group, reports, _ = make_group("live", step_timeout_s=0.001)
    weights = ray.put(Weights(0, np.zeros(0, np.float32)))
    assert [next_info(group, weights).origin.incarnation for _ in range(20)] == [0] * 20
    assert reports == []
    group.close()
