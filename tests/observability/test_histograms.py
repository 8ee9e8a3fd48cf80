"""How numbers are distributed: quantiles in the row, histograms in TensorBoard."""

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rl_platform.observability.event_file import EventFile
from rl_platform.observability.histograms import Samples, quantiles


def test_quantiles_are_of_what_came_since_the_last_time_and_nan_when_nothing_came():
    samples = Samples()
    samples.add({"lag": np.array([0, 1])})
    samples.add({"lag": np.array([2, 3, 10]), "age": np.zeros(0, np.int64)})
    found = quantiles(samples.take())
    assert (found["lag_p50"], found["lag_p90"]) == (2.0, pytest.approx(7.2))
    assert np.isnan(found["age_p50"])
    assert {name for name, value in quantiles(samples.take()).items() if np.isnan(value)} == found.keys()


def test_tensorboard_reads_the_histogram_back(tmp_path):
    events = EventFile(tmp_path)
    events.add({"env_steps": 7, "loss/total": 1.5}, {"lag": np.array([0, 0, 3]), "age": np.zeros(0)})
    events.close()
    read = EventAccumulator(str(tmp_path)).Reload()
    assert read.Tags()["histograms"] == ["lag"]
    (event,) = read.Histograms("lag")
    value = event.histogram_value
    assert (event.step, value.num, value.min, value.max, value.sum, value.sum_squares) == (7, 3, 0, 3, 3, 9)
    assert sum(value.bucket) == 3
