"""From unrolls to batches: the `replay` section, one alternative per source."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from configs.section import SEQUENCE, Section, key

_SHARE = "Part of each batch; the shares of all sources add up to 1."
_CAPACITY = "Columns that are kept."
_MIN_FILL = "With fewer columns than this the queue serves this source's share too."


def _share(default: float) -> float:
    return key(default, _SHARE, gt=0.0, le=1.0)


def _capacity() -> int:
    return key(1_000, _CAPACITY, unit="columns", ge=1, le=10_000_000)


def _min_fill() -> int:
    return key(200, _MIN_FILL, unit="columns", ge=1, le=10_000_000)


class QueueSource(Section):
    """The on-policy queue: bounded, each column once, in order."""

    kind: Literal["queue"] = key("queue", "Which source.")
    share: float = _share(1.0)
    capacity: int = key(128, "Columns that may wait.", unit="columns", ge=1, le=10_000_000)
    overflow: Literal["block", "drop_oldest"] = key(
        "block", "When it is full: let collection wait, or drop the oldest columns (they are counted)."
    )


class UniformSource(Section):
    """The newest columns, each as likely as any other."""

    kind: Literal["uniform"] = key("uniform", "Which source.")
    share: float = _share(0.5)
    capacity: int = _capacity()
    min_fill: int = _min_fill()


class ReservoirSource(Section):
    """A fair sample of every column that ever came, each as likely as any other (CLEAR)."""

    kind: Literal["reservoir"] = key("reservoir", "Which source.")
    share: float = _share(0.5)
    capacity: int = _capacity()
    min_fill: int = _min_fill()


class Annealing(Section):
    """λ: how many candidates are drawn for each column that is taken; it falls linearly to 1, which is uniform."""

    initial: float = key(6.0, "λ at the first draw.", unit="candidates per column", ge=1.0, le=1_000.0)
    draws: int | None = key(
        20_000, "Draws (batches) over which λ falls to 1; null: it stays.", unit="draws", ge=1, le=10**12
    )


class AttentiveSource(Section):
    """Of λ times as many candidates, the columns that look most like what is seen now (Sun et al. 2020)."""

    kind: Literal["attentive"] = key("attentive", "Which source.")
    share: float = _share(0.5)
    capacity: int = _capacity()
    min_fill: int = _min_fill()
    distance: Literal["ln_norm", "cosine", "kl"] = key("ln_norm", "How two columns' features are compared.")
    norm: float = key(2.0, "p of ln_norm.", ge=1.0, le=100.0)
    candidates: Annealing = key(Annealing(), "How many candidates are drawn.")


class EliteSource(Section):
    """Of λ times as many candidates, columns whose features have changed least since they were played."""

    kind: Literal["elite"] = key("elite", "Which source.")
    share: float = _share(0.5)
    capacity: int = _capacity()
    min_fill: int = _min_fill()
    distance: Literal["ln_norm", "cosine", "kl"] = key("ln_norm", "How features then and now are compared.")
    norm: float = key(2.0, "p of ln_norm.", ge=1.0, le=100.0)
    strategy: Literal["nearest", "stratified", "least_used", "least_used_in_strata"] = key(
        "least_used",
        "Which candidates are taken: the nearest (1), every k-th by distance (2), the least used and of these the "
        "nearest (3), the least used of each stratum (4).",
    )
    candidates: Annealing = key(Annealing(), "How many candidates are drawn.")
    insertion_tries: int = key(
        0, "A full source overwrites the farthest of so many random columns instead of the oldest; 0: the oldest.",
        unit="columns", ge=0, le=100_000,
    )  # fmt: skip


Source = Annotated[
    QueueSource | UniformSource | ReservoirSource | AttentiveSource | EliteSource, Field(discriminator="kind")
]


class ScorerConfig(Section):
    """What computes the features of stored columns under the newest weights, for attentive and elite."""

    device: Literal["cpu", "cuda"] = key("cpu", "Where features of stored columns are computed.")
    gpus: float = key(
        0.0, "GPUs that Ray sets aside for the replay actor, which computes them.", unit="logical GPUs", ge=0.0, le=1.0
    )


class ReplayConfig(Section):
    """From unrolls to batches."""

    sources: tuple[Source, ...] = key(
        (QueueSource(),), "Where a batch's columns come from: one queue, and any others.", min_length=1, max_length=16,
        **SEQUENCE,
    )  # fmt: skip
    features: int | None = key(
        128, "What attentive and elite compare: the trunk's activations on a fixed random projection of this width; "
        "null: the activations themselves. Kept with each step as float16.", unit="features", ge=1, le=65_536,
    )  # fmt: skip
    score_stride: int = key(1, "Only every n-th step of a column is compared.", unit="env steps", ge=1, le=10_000)
    scorer: ScorerConfig = key(ScorerConfig(), "What computes the features that attentive and elite compare.")
    checkpoint: bool = key(False, "Whether checkpoints hold the replayed columns; without, they are collected anew.")
    prefetch: int = key(
        2, "Batches under way at once: the learner works on one while the others are assembled and fetched. Attentive "
        "and elite compare under weights that are as many updates old, less one.",
        unit="batches", ge=1, le=64,
    )  # fmt: skip

    @model_validator(mode="after")
    def _check(self) -> "ReplayConfig":
        queues = sum(source.kind == "queue" for source in self.sources)
        if queues != 1 or self.sources[0].kind != "queue":
            raise ValueError("sources must begin with a queue and have no other: everything comes through it")
        return self
