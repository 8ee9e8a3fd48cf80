"""The kinds of replay source, put together from ring, eviction and choice."""

from functools import partial

import numpy as np

from replay.candidates import CandidateSchedule
from replay.eviction import evict_most_distant, evict_oldest, evict_reservoir
from replay.scoring import Scorer
from replay.selection import STRATEGIES, nearest
from replay.source import Choice, ReplaySource


def uniform(capacity: int, *, min_fill: int, rng: np.random.Generator, name: str = "uniform") -> ReplaySource:
    """The newest `capacity` columns, each as likely as any other.

    Differs from elite-vtrace's standard buffer: a batch is drawn without replacement.
    """
    return ReplaySource(name, capacity, evict=evict_oldest, choice=None, min_fill=min_fill, rng=rng)


def reservoir(capacity: int, *, min_fill: int, rng: np.random.Generator, name: str = "reservoir") -> ReplaySource:
    """A uniform sample of all columns that ever came by, each as likely as any other (CLEAR)."""
    return ReplaySource(name, capacity, evict=evict_reservoir, choice=None, min_fill=min_fill, rng=rng)


def attentive(capacity: int, *, min_fill: int, rng: np.random.Generator, candidates: CandidateSchedule, scorer: Scorer,
              name: str = "attentive") -> ReplaySource:  # fmt: skip
    """Of λ·n candidates those most similar to the current states (Sun et al. 2020)."""
    choice = Choice(candidates, scorer.from_current, nearest)
    return ReplaySource(name, capacity, evict=evict_oldest, choice=choice, min_fill=min_fill, rng=rng)


def elite(capacity: int, *, min_fill: int, rng: np.random.Generator, candidates: CandidateSchedule, scorer: Scorer,
          strategy: str = "least_used", insertion_tries: int | None = None,
          name: str = "elite") -> ReplaySource:  # fmt: skip
    """Of λ·n candidates those whose features have moved least since they were made, by one of `STRATEGIES`.

    Args:
      strategy: its name.
      insertion_tries: a new column replaces the one that has moved most of so many; None: the oldest.
    """
    choice = Choice(candidates, scorer.drift, STRATEGIES[strategy])
    evict = evict_oldest if insertion_tries is None else partial(evict_most_distant, choices=insertion_tries)
    return ReplaySource(name, capacity, evict=evict, choice=choice, min_fill=min_fill, rng=rng)
