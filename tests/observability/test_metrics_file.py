"""metrics.jsonl after a resume, after a kill."""

import json
import math

import pytest

from rl_platform.observability.files import to_json
from rl_platform.observability.metrics_file import keep_rows_until, read_rows


def lines(*env_steps: int) -> bytes:
    return b"".join(to_json({"env_steps": steps, "wall_s": steps / 10}) for steps in env_steps)


def test_resume_removes_newer_rows(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(lines(100, 200, 300, 400))
    keep_rows_until(path, env_steps=200)
    assert path.read_bytes() == lines(100, 200)


def test_a_new_run_keeps_nothing_of_an_old_series(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(lines(100, 200))
    keep_rows_until(path, env_steps=0)
    assert path.read_bytes() == b""


@pytest.mark.parametrize("torn", [b'{"env_steps": 300, "wa', lines(300)[:-1], b"\0\0\0\0", b"\n"])
def test_a_torn_last_line_is_removed(tmp_path, torn):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(lines(100, 200) + torn)
    assert [row["env_steps"] for row in read_rows(path)] == [100, 200]
    keep_rows_until(path, env_steps=1000)
    assert path.read_bytes() == lines(100, 200)


def test_an_intact_file_is_not_touched(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(lines(100, 200))
    inode = path.stat().st_ino
    keep_rows_until(path, env_steps=200)
    assert path.stat().st_ino == inode


def test_a_missing_file_stays_missing(tmp_path):
    keep_rows_until(tmp_path / "metrics.jsonl", env_steps=0)
    assert not (tmp_path / "metrics.jsonl").exists()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_json_cannot_say_becomes_null(value):
    line = to_json({"env_steps": 1, "loss/value": value, "status": "done"})
    assert line == b'{"env_steps": 1, "loss/value": null, "status": "done"}\n'
    assert json.loads(line)["loss/value"] is None
