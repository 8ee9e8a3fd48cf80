"""What the gradient steps of an update are taken on."""

from collections.abc import Iterator

import torch

from learners.sample import Sample, select


def minibatches(
    sample: Sample | None, *, epochs: int, count: int, generator: torch.Generator
) -> Iterator[Sample | None]:
    """Deal the sample's columns to `count` minibatches, shuffled anew in every epoch.

    There are epochs · count of them for any sample, so that ranks stay in step: None is where nothing fell to one,
    and every one of a rank without a sample (None).
    """
    for _ in range(epochs):
        if sample is None or count == 1:
            yield from [sample] * count
        else:
            order = torch.randperm(len(sample.replayed), generator=generator).to(sample.replayed.device)
            for columns in order.tensor_split(count):
                yield select(sample, columns) if len(columns) else None
