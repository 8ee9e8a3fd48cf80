"""A run's folder, as its readers see it."""

import json
import math
import subprocess
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rl_platform.observability.metrics_file import read_rows
from rl_platform.observability.writers import RunWriters

LIGHT_IMPORT = """
import sys
import rl_platform.observability.metrics, rl_platform.observability.writers, rl_platform.observability.progress
import rl_platform.observability.curve, rl_platform.observability.video
print(sorted({"matplotlib", "tensorboard", "imageio_ffmpeg", "torch", "ray"} & set(sys.modules)))
"""


def tensorboard_series(run_dir, tag: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(run_dir / "tensorboard"))
    events.Reload()
    return [(scalar.step, scalar.value) for scalar in events.Scalars(tag)]


def write_rows(writers: RunWriters, *rows: tuple[int, float]) -> None:
    for env_steps, loss in rows:
        writers.write_row({"env_steps": env_steps, "loss/value": loss})
    writers.close()


def test_rows_reach_both_series(tmp_path):
    write_rows(RunWriters(tmp_path, tensorboard=True), (100, 0.5), (200, math.nan), (300, 0.25))
    assert read_rows(tmp_path / "metrics.jsonl") == [
        {"env_steps": 100, "loss/value": 0.5},
        {"env_steps": 200, "loss/value": None},
        {"env_steps": 300, "loss/value": 0.25},
    ]
    assert tensorboard_series(tmp_path, "loss/value") == [(100, 0.5), (300, 0.25)]


def test_a_resumed_run_continues_both_series_from_its_checkpoint(tmp_path):
    write_rows(RunWriters(tmp_path, tensorboard=True), (100, 1.0), (200, 2.0), (300, 3.0), (400, 4.0))
    write_rows(RunWriters(tmp_path, tensorboard=True, restored_env_steps=200), (350, 5.0))
    expected = [(100, 1.0), (200, 2.0), (350, 5.0)]
    rows = read_rows(tmp_path / "metrics.jsonl")
    assert [(row["env_steps"], row["loss/value"]) for row in rows] == expected
    assert tensorboard_series(tmp_path, "loss/value") == expected


def test_a_torn_event_is_removed(tmp_path):
    write_rows(RunWriters(tmp_path, tensorboard=True), (100, 1.0), (200, 2.0))
    (events,) = (tmp_path / "tensorboard").iterdir()
    whole = events.read_bytes()
    events.write_bytes(whole + whole[-20:-1])
    RunWriters(tmp_path, tensorboard=True, restored_env_steps=200).close()
    assert events.read_bytes() == whole


def test_rows_are_on_disk_before_close(tmp_path):
    writers = RunWriters(tmp_path, tensorboard=True)
    writers.write_row({"env_steps": 100, "loss/value": 0.5})
    assert len(read_rows(tmp_path / "metrics.jsonl")) == 1
    assert tensorboard_series(tmp_path, "loss/value") == [(100, 0.5)]
    writers.close()


def test_tensorboard_can_be_off(tmp_path):
    write_rows(RunWriters(tmp_path, tensorboard=False), (100, 0.5))
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_the_summary_is_replaced(tmp_path):
    writers = RunWriters(tmp_path, tensorboard=False)
    writers.write_summary({"env_steps": 100, "env_steps_per_s": math.nan, "status": "running"})
    writers.write_summary({"env_steps": 200, "env_steps_per_s": math.nan, "status": "done"})
    writers.close()
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary == {"env_steps": 200, "env_steps_per_s": None, "status": "done"}


def test_importing_the_modules_loads_nothing_heavy():
    output = subprocess.run([sys.executable, "-c", LIGHT_IMPORT], check=True, capture_output=True, text=True).stdout
    assert output == "[]\n"


def test_a_run_goes_on_over_a_full_disk(tmp_path, disk_of, caplog):
    writers = RunWriters(tmp_path, tensorboard=True)
    writers.write_row({"env_steps": 100, "loss/value": 0.5})
    with disk_of(10):
        writers.write_row({"env_steps": 200, "loss/value": 0.4})
        writers.write_summary({"env_steps": 200, "status": "running"})
    write_rows(writers, (300, 0.25))
    assert [row["env_steps"] for row in read_rows(tmp_path / "metrics.jsonl")] == [100, 300]
    assert tensorboard_series(tmp_path, "loss/value") == [(100, 0.5), (300, 0.25)]
    assert len(caplog.records) == 1
