"""Files under kills and full disks."""

import json
import signal
import subprocess
import sys

import pytest

from rl_platform.observability.files import AppendFile, FullDiskTolerance, write_atomic

WRITE_FOREVER = """
import sys
from pathlib import Path
from rl_platform.observability.files import to_json, write_atomic

path, count = Path(sys.argv[1]), 0
while True:
    count += 1
    write_atomic(path, to_json({"env_steps": count, "status": "x" * 20_000}, indent=2))
    if count == 20:
        print("writing", flush=True)
"""


@pytest.mark.parametrize("attempt", range(20))
def test_a_file_written_atomically_always_parses_after_a_kill(tmp_path, attempt):
    path = tmp_path / "summary.json"
    with subprocess.Popen([sys.executable, "-c", WRITE_FOREVER, str(path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        for _ in range(attempt):  # kill it at different moments of its loop
            json.loads(path.read_bytes())
        writer.kill()
        assert writer.wait() == -signal.SIGKILL
    summary = json.loads(path.read_bytes())
    assert summary["env_steps"] >= 20
    assert summary["status"] == "x" * 20_000


def test_an_atomic_write_that_fails_leaves_the_old_file_alone(tmp_path, disk_of):
    path = tmp_path / "summary.json"
    write_atomic(path, b"old")
    with disk_of(1000), pytest.raises(OSError, match="File too large"):
        write_atomic(path, b"new" * 1000)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_does_not_fit_leaves_no_trace(tmp_path, disk_of):
    file = AppendFile(tmp_path / "series")
    file.append(b"a" * 60)
    with disk_of(100):
        with pytest.raises(OSError, match="File too large"):
            file.append(b"b" * 60)
        file.append(b"c" * 40)
    file.append(b"d" * 60)
    file.close()
    assert (tmp_path / "series").read_bytes() == b"a" * 60 + b"c" * 40 + b"d" * 60


def test_a_full_disk_warns_once_a_minute(tmp_path, caplog, disk_of):
    now_s = 0.0
    tolerance = FullDiskTolerance(clock=lambda: now_s)
    file = AppendFile(tmp_path / "series")
    with disk_of(10):
        for second in range(0, 121, 10):
            now_s = float(second)
            tolerance.attempt(tmp_path / "series", lambda: file.append(b"a" * 60))
    file.close()
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3
    assert "series was not written (File too large)" in caplog.records[0].getMessage()


def test_an_error_that_is_no_full_disk_is_raised(tmp_path):
    with pytest.raises(FileNotFoundError):
        FullDiskTolerance().attempt(tmp_path, lambda: write_atomic(tmp_path / "missing" / "summary.json", b""))
