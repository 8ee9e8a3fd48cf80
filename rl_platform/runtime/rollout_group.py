"""The rollout actors of one feeder: calls in flight, deaths, hangs, vacant places."""

import time
from collections import deque
from typing import Any, NamedTuple

import ray
from ray.exceptions import RayError

from rl_platform.core.types import RolloutInfo
from rl_platform.runtime.ray_actors import WorkerStatus, reason

_ANSWER_S = 5.0
"""How long an actor that seems to hang may take to say where it is."""
_START_S = 120.0
"""The same for one that may still be starting: until its environments are built it cannot answer."""
_LOOK_EVERY_S = 0.2


class LostActor(NamedTuple):
    """A rollout actor that is no more, and why."""

    actor: int
    incarnation: int
    reason: str


class NewActor(NamedTuple):
    """A rollout actor that joins a feeder."""

    actor: int
    incarnation: int
    handle: Any


class _Call(NamedTuple):
    info: ray.ObjectRef
    unroll: ray.ObjectRef


class _Member:
    """One rollout actor: its handle, its incarnation and its calls in flight, oldest first."""

    def __init__(self, handle: Any, incarnation: int):
        self.handle = handle
        self.incarnation = incarnation
        self.calls: deque[_Call] = deque()
        self.question: ray.ObjectRef | None = None
        self.heard = time.monotonic()
        self.started = False

    def silent_s(self) -> float:
        """Seconds since its last sign of life."""
        return time.monotonic() - self.heard

    def live(self) -> None:
        """It gave a sign of life."""
        self.heard, self.started, self.question = time.monotonic(), True, None


class RolloutGroup:
    """Asks rollout actors for unrolls, and ends those that die, raise or hang: somebody else fills their places.

    Args:
      unrolls_in_flight: unrolls asked of one actor at once; with two it never waits for the feeder.
      step_timeout_s: an environment call longer than this is a hang.
      max_restarts_in_a_row: an actor that failed more often than this without finishing an unroll fails the run.
    """

    def __init__(self, *, unrolls_in_flight: int, step_timeout_s: float, max_restarts_in_a_row: int):
        self._unrolls_in_flight = unrolls_in_flight
        self._step_timeout_s = step_timeout_s
        self._max_in_a_row = max_restarts_in_a_row
        self._in_a_row: dict[int, int] = {}
        self._owner_of: dict[ray.ObjectRef, int] = {}
        self._members: dict[int, _Member] = {}
        self._next_look = 0.0
        self._lost: list[LostActor] = []
        self.unrolls_lost = 0

    def add(self, new: NewActor) -> None:
        """Have an actor take its place."""
        self._members[new.actor] = _Member(new.handle, new.incarnation)

    def take_lost(self) -> list[LostActor]:
        """Actors found lost since the last call."""
        lost_actors, self._lost = self._lost, []
        return lost_actors

    @property
    def in_flight(self) -> int:
        """Unrolls asked for and not yet returned."""
        return len(self._owner_of)

    def pending(self) -> list[ray.ObjectRef]:
        """What to wait for."""
        return list(self._owner_of)

    def free(self) -> list[int]:
        """Actors that may be asked for another unroll, those with the fewest calls in flight first."""
        able = [a for a, member in self._members.items() if len(member.calls) < self._unrolls_in_flight]
        return sorted(able, key=lambda actor: len(self._members[actor].calls))

    def collect(self, actor: int, weights: ray.ObjectRef) -> None:
        """Ask an actor for an unroll."""
        member = self._members[actor]
        if not member.calls:
            member.heard = time.monotonic()
        call = _Call(*member.handle.collect.remote(weights))
        member.calls.append(call)
        self._owner_of[call.info] = actor

    def receive(self, info_ref: ray.ObjectRef) -> tuple[RolloutInfo, ray.ObjectRef] | None:
        """The result of a finished call: its info and the reference of its unroll; None when its actor died."""
        actor = self._owner_of.get(info_ref)
        if actor is None:
            return None  # its actor was given up meanwhile
        member = self._members[actor]
        try:
            info = ray.get(info_ref)
        except RayError as error:
            self._give_up(actor, reason(error))
            return None
        del self._owner_of[info_ref]
        call = next(call for call in member.calls if call.info == info_ref)
        member.calls.remove(call)
        member.live()
        self._in_a_row[actor] = 0
        return info, call.unroll

    def give_up_hanging(self) -> None:
        """Ask actors that have been silent for long where they are; give up those stuck in an environment."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK_EVERY_S
        for actor, member in list(self._members.items()):
            if member.question is not None:
                self._listen(actor, member, member.question)
            elif member.calls and member.silent_s() > self._step_timeout_s:
                member.question = member.handle.status.remote()

    def _listen(self, actor: int, member: _Member, question: ray.ObjectRef) -> None:
        """Deal with the answer, or with there being none, without waiting for it."""
        if not ray.wait([question], timeout=0)[0]:
            if member.silent_s() > self._step_timeout_s + (_ANSWER_S if member.started else _START_S):
                self._give_up(actor, f"{_phase(member)}: no answer for {member.silent_s():.0f} s")
            return
        try:
            status: WorkerStatus = ray.get(question)
        except RayError as error:
            self._give_up(actor, reason(error))
            return
        if status.env_call_s > self._step_timeout_s:
            self._give_up(actor, f"{status.env} has not returned for {status.env_call_s:.0f} s:\n{status.stack}")
        else:
            member.live()
            member.heard -= status.env_call_s

    def _give_up(self, actor: int, why: str) -> None:
        failed = self._in_a_row[actor] = self._in_a_row.get(actor, 0) + 1
        if failed > self._max_in_a_row:
            raise RuntimeError(f"rollout actor {actor} failed {failed} times in a row: {why.splitlines()[0]}")
        member = self._members.pop(actor)
        for call in member.calls:
            del self._owner_of[call.info]
        ray.kill(member.handle)
        self.unrolls_lost += bool(member.calls)
        self._lost.append(LostActor(actor, member.incarnation, why))


def _phase(member: _Member) -> str:
    return "while it collected" if member.started else "while it started and built its environments"
