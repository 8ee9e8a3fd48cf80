"""A replay source: columns that may be in many batches, and the choice among them."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from replay.candidates import CandidateSchedule, num_candidates
from replay.eviction import Eviction
from replay.ring import ColumnRing, Stored
from replay.scoring import Score
from replay.selection import Selection
from rl_platform.core.types import Unroll, Weights


class Choice(NamedTuple):
    """How columns are chosen where not all of them are as good."""

    candidates: CandidateSchedule
    score: Score
    select: Selection


class ReplaySource:
    """Ring storage × eviction × choice. The four kinds are put together in `replay.sources`.

    Every column that arrives is offered to the ring. A draw takes λ·n distinct candidates uniformly, scores them under
    the present weights and selects n of them; where there is nothing to select from (λ = 1, or no more columns than n)
    the draw is uniform and the model is not called. No column is in a batch twice.

    Args:
      name: tells sources of one shard apart, in metrics and in checkpoints.
      choice: None: uniform.
      min_fill: columns that it must hold before it gives any.
    """

    def __init__(self, name: str, capacity: int, *, evict: Eviction, choice: Choice | None, min_fill: int,
                 rng: np.random.Generator):  # fmt: skip
        assert min_fill <= capacity, (min_fill, capacity)
        self.name = name
        self.ring = ColumnRing(capacity)
        self._evict, self._choice, self._min_fill, self._rng = evict, choice, min_fill, rng
        self._draws = 0
        self._last_draw: dict[str, float] = {}

    def insert(self, unroll: Unroll) -> None:
        """Offer every column of an unroll."""
        slots, columns = self._evict(self.ring, unroll.steps.action.shape[1], self._rng)
        self.ring.write(slots, unroll, columns)

    def ready(self, num_columns: int) -> bool:
        """Whether it holds enough to give so many."""
        return len(self.ring) >= max(self._min_fill, num_columns)

    @property
    def scores(self) -> bool:
        """Whether it compares its candidates."""
        return self._choice is not None

    def draw(self, num_columns: int, weights: Weights | None) -> np.ndarray:
        """The slots of `num_columns` distinct columns; counts the draw and their use.

        `weights` are those to score with; None will do only for sources that never score.
        """
        multiplier = self._choice.candidates.multiplier(self._draws) if self._choice else 1.0
        self._last_draw = {"lambda": multiplier} if self._choice else {}
        wanted = num_candidates(multiplier, num_columns, len(self.ring))
        slots = self._rng.choice(self.ring.filled(), wanted, replace=False)
        if self._choice and wanted > num_columns:
            assert weights is not None, f"replay source {self.name} scores its candidates: pass the newest weights"
            slots = self._select(self._choice, slots, num_columns, weights)
        self._draws += 1
        self.ring.uses[slots] += 1
        self._last_draw["uses_mean"] = float(self.ring.uses[slots].mean())
        return slots

    def metrics(self) -> dict[str, float]:
        """Its fill, and what there is to say of the last draw."""
        shown = {"fill": len(self.ring) / self.ring.capacity} | self._last_draw
        return {f"replay/{self.name}/{key}": value for key, value in shown.items()}

    def state_dict(self) -> dict[str, Any]:
        """Everything but the columns themselves."""
        return {"draws": self._draws, "rng": self._rng.bit_generator.state, "ring": self.ring.state_dict()}

    def load_state_dict(self, state: dict[str, Any], stored: Iterable[Stored] = ()) -> None:
        """Go on from `state` with the columns of it that are `stored`; without any the ring is empty.

        Raises:
          ValueError: the state is of a source of another capacity.
        """
        self._draws = state["draws"]
        self._rng.bit_generator.state = state["rng"]
        self.ring.restore(state["ring"], stored)

    def _select(self, choice: Choice, slots: np.ndarray, num_columns: int, weights: Weights) -> np.ndarray:
        distances = choice.score(self.ring, slots, weights)
        chosen = choice.select(distances, self.ring.uses[slots], num_columns)
        self.ring.distance[slots] = distances
        self._last_draw["candidate_distance_mean"] = float(distances.mean())
        self._last_draw["distance_mean"] = float(distances[chosen].mean())
        return slots[chosen]
