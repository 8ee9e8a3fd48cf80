"""The rollout actors of one feeder: calls in flight, deaths, hangs, replacements."""

import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import ray
from ray.exceptions import RayError

from rl_platform.core.types import RolloutInfo
from rl_platform.runtime.ray_actors import Whereabouts, reason

_ANSWER_S = 5.0
"""How long an actor that seems to hang may take to say where it is."""
_START_S = 120.0
"""The same for one that may still be starting: until its environments are built it cannot answer."""
_LOOK_EVERY_S = 0.2


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
    """Creates rollout actors and replaces those that die, raise or hang.

    Args:
      create: (actor, incarnation) → handle of a new rollout actor.
      count: number of actors.
      first_incarnation: incarnations start here; a resumed run passes one that was never used.
      unrolls_in_flight: unrolls asked of one actor at once; with two it never waits for the feeder.
      step_timeout_s: an environment call longer than this is a hang.
      max_restarts_in_a_row: an actor replaced this often without finishing an unroll fails the run.
      report: takes one line for people about every replacement.
    """

    def __init__(self, create: Callable[[int, int], Any], *, count: int, first_incarnation: int, unrolls_in_flight: int,
                 step_timeout_s: float, max_restarts_in_a_row: int, report: Callable[[str], None]):  # fmt: skip
        self._create = create
        self._unrolls_in_flight = unrolls_in_flight
        self._step_timeout_s = step_timeout_s
        self._max_in_a_row = max_restarts_in_a_row
        self._report = report
        self._in_a_row = [0] * count
        self._owner_of: dict[ray.ObjectRef, int] = {}
        self._members = [_Member(create(actor, first_incarnation), first_incarnation) for actor in range(count)]
        self._next_look = 0.0
        self.restarted = 0
        self.unrolls_lost = 0

    @property
    def in_flight(self) -> int:
        """Unrolls asked for and not yet returned."""
        return len(self._owner_of)

    def pending(self) -> list[ray.ObjectRef]:
        """What to wait for."""
        return list(self._owner_of)

    def free(self) -> list[int]:
        """Actors that may be asked for another unroll, those with the fewest calls in flight first."""
        able = [a for a, member in enumerate(self._members) if len(member.calls) < self._unrolls_in_flight]
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
            return None  # its actor was replaced meanwhile
        member = self._members[actor]
        try:
            info = ray.get(info_ref)
        except RayError as error:
            self._replace(actor, reason(error))
            return None
        del self._owner_of[info_ref]
        call = next(call for call in member.calls if call.info == info_ref)
        member.calls.remove(call)
        member.live()
        self._in_a_row[actor] = 0
        return info, call.unroll

    def replace_hanging(self) -> None:
        """Ask actors that have been silent for long where they are; replace those stuck in an environment."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK_EVERY_S
        for actor, member in enumerate(self._members):
            if member.question is not None:
                self._listen(actor, member, member.question)
            elif member.calls and member.silent_s() > self._step_timeout_s:
                member.question = member.handle.whereabouts.remote()

    def close(self) -> None:
        """End every actor."""
        for member in self._members:
            ray.kill(member.handle)

    def _listen(self, actor: int, member: _Member, question: ray.ObjectRef) -> None:
        """Deal with the answer, or with there being none, without waiting for it."""
        if not ray.wait([question], timeout=0)[0]:
            if member.silent_s() > self._step_timeout_s + (_ANSWER_S if member.started else _START_S):
                self._replace(actor, f"{_phase(member)}: no answer for {member.silent_s():.0f} s")
            return
        try:
            place: Whereabouts = ray.get(question)
        except RayError as error:
            self._replace(actor, reason(error))
            return
        if place.env_call_s > self._step_timeout_s:
            self._replace(actor, f"{place.env} has not returned for {place.env_call_s:.0f} s:\n{place.stack}")
        else:
            member.live()
            member.heard -= place.env_call_s

    def _replace(self, actor: int, reason: str) -> None:
        old = self._members[actor]
        self._in_a_row[actor] += 1
        if self._in_a_row[actor] > self._max_in_a_row:
            raise RuntimeError(f"rollout actor {actor} failed {self._in_a_row[actor]} times in a row: {reason}")
        self._report(f"rollout actor {actor} (incarnation {old.incarnation}) replaced: {reason}")
        for call in old.calls:
            del self._owner_of[call.info]
        ray.kill(old.handle)
        self.unrolls_lost += bool(old.calls)
        self.restarted += 1
        incarnation = old.incarnation + 1
        self._members[actor] = _Member(self._create(actor, incarnation), incarnation)


def _phase(member: _Member) -> str:
    return "while it collected" if member.started else "while it started and built its environments"
