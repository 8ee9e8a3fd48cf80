"""How the supervisor speaks with a feeder: in the same process, or in an actor of its own."""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError

from rl_platform.runtime.feeder import Feeder, FeederOrders, FeederReport, FeederSettings
from rl_platform.runtime.ray_actors import reason

_TURN_S = 0.5
_ANSWER_S = 60.0
"""A feeder that takes longer to report has failed."""
_START_S = 180.0
"""The same for its first report."""


class FeederError(Exception):
    """The feeder is no more; one line."""


class FeederClient(Protocol):
    """A feeder, as the supervisor sees it."""

    handle: Any
    """For the feeders of other ranks; None in the driver, where there are none."""

    def begin(self, orders: FeederOrders) -> None:
        """Have the feeder take a turn."""

    def report(self) -> FeederReport:
        """What came of the turn; FeederError if the feeder died."""

    def begin_finish(self, last_update: int, limit_s: float) -> None:
        """Have the feeder take part in the updates up to that one and wait for their end; then `report`."""

    def close(self) -> None:
        """End the feeder."""


class LocalFeeder:
    """The feeder in this process: a turn lasts until something has happened."""

    handle = None

    def __init__(self, settings: FeederSettings):
        self._feeder = Feeder(settings)
        self._next: Callable[[], FeederReport]

    def begin(self, orders: FeederOrders) -> None:
        """Keep the orders: there is only one thread."""
        self._next = partial(self._feeder.turn, orders, 0.0)

    def begin_finish(self, last_update: int, limit_s: float) -> None:
        """Defer it until `report`."""
        self._next = partial(self._feeder.finish, last_update, limit_s)

    def report(self) -> FeederReport:
        """Run the deferred call."""
        return self._next()

    def close(self) -> None:
        """Nothing to end."""


@ray.remote(concurrency_groups={"peers": 1})
class FeederActor:
    """Hosts a Feeder; `hear` is called while a turn is taken."""

    def __init__(self, settings: FeederSettings):
        self._feeder = Feeder(settings)

    def turn(self, orders: FeederOrders) -> FeederReport:
        return self._feeder.turn(orders, _TURN_S)

    def finish(self, last_update: int, limit_s: float) -> FeederReport:
        return self._feeder.finish(last_update, limit_s)

    @ray.method(concurrency_group="peers")
    def hear(self, updates_begun: int) -> None:
        self._feeder.hear(updates_begun)


class RemoteFeeder:
    """The feeder in an actor beside its learner."""

    def __init__(self, settings: FeederSettings, options: dict[str, Any]):
        self.handle = FeederActor.options(num_cpus=0, **options).remote(settings)
        self._turn: ray.ObjectRef | None = None
        self._limit_s = _START_S

    def begin(self, orders: FeederOrders) -> None:
        """Have the feeder take a turn."""
        self._turn = self.handle.turn.remote(orders)

    def report(self) -> FeederReport:
        """What came of the turn."""
        report, self._limit_s = _answer(self._turn, self._limit_s), _ANSWER_S
        return report

    def begin_finish(self, last_update: int, limit_s: float) -> None:
        """Have the feeder take part in the updates up to that one and wait for their end."""
        self._turn = self.handle.finish.remote(last_update, limit_s)
        self._limit_s = limit_s + _TURN_S

    def close(self) -> None:
        """End the feeder."""
        ray.kill(self.handle)


def _answer(ref: ray.ObjectRef, limit_s: float) -> FeederReport:
    try:
        return ray.get(ref, timeout=limit_s)
    except RayActorError as error:
        raise FeederError(reason(error)) from error
    except GetTimeoutError as error:
        raise FeederError(f"no answer for {limit_s:.0f} s") from error
    except RayError as error:
        raise RuntimeError(reason(error)) from error
