"""When a rank joins an update of the others without a batch of its own."""

import time
from types import SimpleNamespace

from rl_platform.runtime.lockstep import Lockstep


def two(patience_s: float) -> tuple[Lockstep, Lockstep]:
    """Two ranks that hear each other, as through their feeders' actors."""
    ranks = Lockstep(patience_s=patience_s), Lockstep(patience_s=patience_s)
    for rank, other in (ranks, ranks[::-1]):
        rank.meet([SimpleNamespace(hear=SimpleNamespace(remote=other.heard))])
    return ranks


def test_a_rank_joins_what_another_began_and_no_more():
    busy, idle = two(patience_s=0.0)
    assert not idle.must_join(0)
    busy.began(1)
    assert idle.must_join(0)
    assert not idle.must_join(1)
    assert not busy.must_join(1)


def test_a_rank_waits_for_its_own_batch_once_and_then_joins_at_once_until_it_has_one():
    busy, idle = two(patience_s=0.2)
    busy.began(1)
    began = time.monotonic()
    assert not idle.must_join(0)
    while not idle.must_join(0):
        pass
    assert time.monotonic() - began >= 0.2
    idle.began(1)
    busy.began(2)
    assert idle.must_join(1)  # it starves: no patience any more
    idle.has_batch()
    idle.began(2)
    busy.began(3)
    assert not idle.must_join(2)


def test_an_update_that_both_began_is_told_of_by_the_first_alone():
    first, second = two(patience_s=0.0)
    first.began(5)
    second.began(5)
    assert not first.must_join(5)
    assert not second.must_join(5)


def test_a_lone_rank_never_joins_and_looks_no_more_often_than_asked():
    lone = Lockstep()
    lone.began(3)
    assert not lone.must_join(3)
    assert lone.wait_s(0.5) == 0.5
    assert two(0.0)[0].wait_s(0.5) < 0.5
