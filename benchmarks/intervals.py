"""95 % percentile bootstrap intervals (Efron and Tibshirani 1993, ch. 13), the same every time."""

import numpy as np
from scipy.stats import bootstrap

RESAMPLES = 10_000


def mean_interval(values: np.ndarray) -> tuple[float, float]:
    """Of the mean of at least two independent values [K]."""
    return _interval((values,), lambda sample, axis: sample.mean(axis))


def difference_interval(own: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Of mean(own [K]) − mean(other [L]), two samples that have nothing to do with each other."""
    return _interval((own, other), lambda one, two, axis: one.mean(axis) - two.mean(axis))


def _interval(samples: tuple[np.ndarray, ...], statistic) -> tuple[float, float]:
    found = bootstrap(samples, statistic, n_resamples=RESAMPLES, method="percentile", batch=1_000,
                      rng=np.random.default_rng(0), vectorized=True)  # fmt: skip
    return float(found.confidence_interval.low), float(found.confidence_interval.high)
