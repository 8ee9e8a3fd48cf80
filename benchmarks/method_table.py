"""Each method's active loss terms on the real game: value, gradient of the term alone, and what leaving it out changes.

    python -m benchmarks.method_table [CONFIG ...] [--section.key=value ...]     (default: atari/pong_<method>)

Plays and learns with 8 environments and small replay sources until every source gives its share and 11 updates have
moved the weights; then takes one more update from that state on one batch: as configured, without each term (weight 0),
and without any but the policy's, which has no weight and is always there. Gradients are those of the update's first
step, before the clip. A term's is the difference that leaving it out makes, the policy's what remains without the
others. That these parts miss the whole by `rounding` (in float64) says how exact they are.

Prints a table to stderr and one JSON object. Exit status 1 unless every term has a finite value and a finite gradient
more than 10 times as long as `rounding`, and every weight set to 0 leaves other parameters after the update.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from configs.loader import load_config
from configs.schema import Config
from rl_platform.core.spec import EnvSpec
from rl_platform.core.types import Batch
from rl_platform.runtime import build, build_envs
from rl_platform.runtime.checkpoint import State

CONFIGS = Path(__file__).parent.parent / "configs" / "atari"
COLUMNS = 8
SMALL = (f"--actors.envs_per_actor={COLUMNS}", f"--learner.batch_columns={COLUMNS}", "--actors.count=1",
         "--cluster.mode=inline", "--model.precision=fp32", "--learner.device=cpu")  # fmt: skip
"""Not in bfloat16, of which float64 in the updates that are compared would not be rid."""
SMALL_SOURCE = {"capacity": 64, "min_fill": 16}
MIN_UPDATES = 11
"""No multiple of a target network's usual period: it then differs from the present network."""
WITHOUT = {
    "value": "--learner.terms.value=0",
    "entropy": "--learner.terms.entropy=0",
    "policy_cloning": "--learner.terms.policy_cloning=0",
    "value_cloning": "--learner.terms.value_cloning=0",
    "target_kl": "--learner.kl=null",
    "intrinsic_value": "--learner.terms.intrinsic_value=0",
    "rnd": "--learner.terms.rnd=0",
}
CLEARLY = 10.0
"""Times the rounding error."""


class Moment(NamedTuple):
    """A learner's state, and the batch that comes next."""

    spec: EnvSpec
    state: State
    batch: Batch


class Taken(NamedTuple):
    """One update, and what it was made of."""

    gradient: np.ndarray
    """[parameters] of the first gradient step, before the clip, float64."""
    before: np.ndarray
    """[parameters] float64, those of a bonus's predictor among them."""
    after: np.ndarray
    metrics: dict[str, float]


class Row(NamedTuple):
    """One term of one method."""

    method: str
    term: str
    weight: float | None
    """As configured, at env step 0; None: it has none."""
    value: float
    """As it enters the loss, weight included; mean over the update's gradient steps."""
    gradient_norm: float
    rounding: float
    """Norm of what all terms' gradients together miss of the whole one; 0 by its making if only one can be left out."""
    change: float | None
    """‖parameters without the term − with it‖ / ‖with it − before the update‖; None: it cannot be left out."""

    @property
    def passed(self) -> bool:
        """Whether the term does what it is there for."""
        finite = math.isfinite(self.value) and math.isfinite(self.gradient_norm)
        changes = self.change is None or self.change > 0
        return finite and self.gradient_norm > CLEARLY * self.rounding and changes


class Overheard:
    """A learner alone (`learners.ranks.Ranks`) that keeps what it would add up with others: counts, gradients, …"""

    index, count = 0, 1

    def __init__(self) -> None:
        self.sums: list[np.ndarray] = []

    def sum(self, tensor: Tensor) -> None:
        """Nothing is to be added."""
        self.sums.append(tensor.numpy().astype(np.float64))


def small(name: str, overrides: Sequence[str] = (), extends: Sequence[str] = ()) -> Config:
    """The configuration, with a batch of `COLUMNS` and replay sources that are soon ready."""
    config = load_config(name, [*SMALL, *overrides], extends)
    settings = config.model_dump()
    for source in settings["replay"]["sources"][1:]:
        source.update(SMALL_SOURCE)
    return Config.model_validate(settings)


def play(config: Config) -> Moment:
    """Play and learn until the weights have moved and a batch has its share of every source."""
    worker = build.make_worker(config, actor=0, incarnation=0)
    spec = build_envs.env_spec(config)
    shard, learner = build.make_shard(config, spec), build.make_learner(config, spec)
    learned = 0
    while True:
        shard.insert(worker.collect(learner.weights())[0])
        while shard.status().ready:
            weights = learner.weights()
            batch = shard.next_batch(weights.version, weights)
            assert batch is not None
            if learned >= MIN_UPDATES and not batch.metrics.get("replay/waiting_share"):
                worker.close()
                return Moment(spec, learner.state_dict(), batch)
            learned += "loss/total" in learner.update(batch).metrics  # not while only a bonus's inputs are measured


@contextmanager
def float64() -> Iterator[None]:
    """What is built and computed here is in float64 unless it says otherwise."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def take(config: Config, moment: Moment) -> Taken:
    """The update that a learner of this configuration takes from there, in float64: a small term's gradient is then
    more than the rounding of a large one's."""
    overheard, before = Overheard(), parameters(moment.state)
    with float64():
        learner = build.make_learner(config, moment.spec, overheard)
        learner.load_state_dict(moment.state)
        metrics = learner.update(moment.batch).metrics
    # Moments and counts, which come before, are shorter than the parameters; metrics stand behind the gradient.
    gradient = next(sums for sums in overheard.sums if len(sums) > len(before))
    return Taken(gradient[: len(before)], before, parameters(learner.state_dict()), metrics)


def parameters(state: State) -> np.ndarray:
    """Everything that a gradient step changes [parameters], float64."""
    networks = [state["model"], *([state["rnd"]["predictor"]] if "rnd" in state else [])]
    return np.concatenate([array.ravel() for arrays in networks for array in arrays.values()]).astype(np.float64)


def active_terms(config: Config) -> dict[str, float]:
    """The weights, as configured, of the terms that can be left out and are not."""
    terms, kl = config.learner.terms, config.learner.kl
    weights = {"value": terms.value, "entropy": terms.entropy.initial, "policy_cloning": terms.policy_cloning,
               "value_cloning": terms.value_cloning, "target_kl": 0.0 if kl is None else kl.coefficient}  # fmt: skip
    if config.learner.rnd is not None:
        weights |= {"intrinsic_value": terms.intrinsic_value, "rnd": terms.rnd}
    return {term: weight for term, weight in weights.items() if weight}


def measure(name: str, overrides: Sequence[str] = (), extends: Sequence[str] = ()) -> list[Row]:
    """Every active term of one configuration."""
    config = small(name, overrides, extends)
    weights, moment = active_terms(config), play(config)

    def without(terms: Iterable[str]) -> Taken:
        return take(small(name, [*overrides, *(WITHOUT[term] for term in terms)], extends), moment)

    less = {term: without([term]) for term in weights}
    return rows(Path(name).stem, weights, whole=without([]), policy=without(weights), less=less)


def rows(method: str, weights: dict[str, float], *, whole: Taken, policy: Taken, less: dict[str, Taken]) -> list[Row]:
    """From updates with all terms, with the policy's alone and without each of the others."""
    step = np.linalg.norm(whole.after - whole.before)
    gradients = {"policy": policy.gradient} | {term: whole.gradient - less[term].gradient for term in weights}
    rounding = float(np.linalg.norm(whole.gradient - sum(gradients.values())))
    change = {term: float(np.linalg.norm(less[term].after - whole.after) / step) for term in weights}
    return [
        Row(method, term, weights.get(term), whole.metrics[f"loss/{term}"], float(np.linalg.norm(gradient)), rounding,
            change.get(term))
        for term, gradient in gradients.items()
    ]  # fmt: skip


def line(row: Row) -> str:
    """For reading."""
    weight = "none" if row.weight is None else f"{row.weight:g}"
    change = "always on" if row.change is None else f"{row.change:.2e}"
    return (f"{row.method:16} {row.term:15} {weight:>6} {row.value:12.4e} {row.gradient_norm:12.4e} "
            f"{row.rounding:9.1e} {change:>9}  {'ok' if row.passed else 'FAILED'}")  # fmt: skip


def main() -> int:
    """Measure every configuration in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("configs", nargs="*", metavar="CONFIG")
    options, overrides = parser.parse_known_args()
    torch.set_num_threads(1)
    names = options.configs or sorted(f"atari/{path.stem}" for path in CONFIGS.glob("pong_*.yaml")
                                      if "repr" not in path.stem)  # fmt: skip
    found: list[Row] = []
    print(f"{'method':16} {'term':15} {'weight':>6} {'value':>12} {'|gradient|':>12} {'rounding':>9} {'change':>9}",
          file=sys.stderr)  # fmt: skip
    for name in names:
        measured = measure(name, overrides)
        found += measured
        print(*map(line, measured), sep="\n", file=sys.stderr, flush=True)
    print(json.dumps({"rows": [row._asdict() | {"passed": row.passed} for row in found]}))
    return 0 if all(row.passed for row in found) else 1


if __name__ == "__main__":
    sys.exit(main())
