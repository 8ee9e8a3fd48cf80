"""From the `replay` section to finished sources; `build` puts them together."""

from collections.abc import Sequence

import numpy as np

from configs.replay import AttentiveSource, EliteSource, ReplayConfig, ReservoirSource, UniformSource
from replay.candidates import CandidateSchedule
from replay.distance import COSINE, KL, Distance, norm
from replay.scoring import FeatureFn, Scorer
from replay.source import ReplaySource
from replay.sources import attentive, elite, reservoir, uniform


def compares_features(replay: ReplayConfig) -> bool:
    """Whether a source asks what the present network makes of stored columns."""
    return any(isinstance(source, AttentiveSource | EliteSource) for source in replay.sources)


def make_sources(replay: ReplayConfig, features: FeatureFn | None,
                 generators: Sequence[np.random.Generator]) -> list[tuple[ReplaySource, float]]:  # fmt: skip
    """Every source beside the queue, each with its share.

    Args:
      features: of stored steps under present weights; None will do where no source compares them.
      generators: one for each source.
    """
    return [
        (_make_source(source, f"{source.kind}_{index}", replay.score_stride, features, generator), source.share)
        for index, (source, generator) in enumerate(zip(replay.sources[1:], generators, strict=True), 1)
    ]


def _make_source(source: UniformSource | ReservoirSource | AttentiveSource | EliteSource, name: str, stride: int,
                 features: FeatureFn | None, rng: np.random.Generator) -> ReplaySource:  # fmt: skip
    settings = {"min_fill": source.min_fill, "rng": rng, "name": name}
    if isinstance(source, UniformSource):
        return uniform(source.capacity, **settings)
    if isinstance(source, ReservoirSource):
        return reservoir(source.capacity, **settings)
    assert features is not None, "a source that compares features needs them"
    settings["candidates"] = CandidateSchedule(source.candidates.initial, source.candidates.draws)
    settings["scorer"] = Scorer(features, _distance(source), stride)
    if isinstance(source, AttentiveSource):
        return attentive(source.capacity, **settings)
    insertion = source.insertion_tries or None
    return elite(source.capacity, strategy=source.strategy, insertion_tries=insertion, **settings)


def _distance(source: AttentiveSource | EliteSource) -> Distance:
    return {"ln_norm": norm(source.norm), "cosine": COSINE, "kl": KL}[source.distance]
