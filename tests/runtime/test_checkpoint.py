"""Checkpoints: whole or absent, verified, never pickle."""

import json
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from rl_platform.runtime.checkpoint import CheckpointError, checkpoints, load_checkpoint, load_newest, save_checkpoint


def state(number: int) -> dict:
    return {
        "model": {"encoder.weight": np.full((3, 4), number, np.float32), "scalar": np.array(number)},
        "optimizer": {"square": np.arange(5.0), "steps": number, "nested": {"mask": np.array([True, False])}},
        "counters": {"env_steps": number, "ratio": 0.1, "none": None},
    }


def assert_equal(left, right) -> None:
    assert type(left) is type(right), (left, right)
    if isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_equal(left[key], right[key])
    elif isinstance(left, np.ndarray):
        assert (left.dtype, left.shape) == (right.dtype, right.shape)
        np.testing.assert_array_equal(left, right)
    else:
        assert left == right


def test_round_trip(tmp_path):
    path = save_checkpoint(tmp_path, state(7), env_steps=7, keep=3)
    assert path == tmp_path / "7"
    assert_equal(load_checkpoint(path), state(7))


def test_only_the_newest_are_kept(tmp_path):
    for number in (5, 20, 100, 9):
        save_checkpoint(tmp_path, state(number), env_steps=number, keep=2)
    assert [path.name for path in checkpoints(tmp_path)] == ["100", "20"]


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(tmp_path, name, damage):
    save_checkpoint(tmp_path, state(1), env_steps=1, keep=3)
    newest = save_checkpoint(tmp_path, state(2), env_steps=2, keep=3)
    _damage(newest / name, damage)
    reports: list[str] = []
    path, loaded = load_newest(tmp_path, reports.append)
    assert path.name == "1"
    assert_equal(loaded, state(1))
    if (name, damage) != ("manifest.json", "remove"):  # no manifest, no checkpoint: nothing to report
        assert len(reports) == 1 and str(newest / name).removesuffix(name) in reports[0]


def _damage(path, damage: str) -> None:
    content = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    elif damage == "truncate":
        path.write_bytes(content[: len(content) // 2])
    else:
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)


def test_none_whole_is_an_error_and_none_at_all_is_not(tmp_path):
    assert load_newest(tmp_path, print) is None
    path = save_checkpoint(tmp_path, state(1), env_steps=1, keep=3)
    _damage(path / "state.json", "flip")
    with pytest.raises(CheckpointError, match="none of its 1 checkpoints is whole"):
        load_newest(tmp_path, lambda line: None)


def test_a_manifest_cannot_name_files_outside(tmp_path):
    path = save_checkpoint(tmp_path, state(1), env_steps=1, keep=3)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["sha256"]["../../secret"] = "0" * 64
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="outside its checkpoint"):
        load_checkpoint(path)


def test_killed_at_any_time_leaves_only_whole_checkpoints(tmp_path):
    script = textwrap.dedent(
        """
        import itertools, sys
        from pathlib import Path
        import numpy as np
        from rl_platform.runtime.checkpoint import save_checkpoint
        for number in itertools.count(int(sys.argv[2])):
            state = {"model": {"weight": np.full(20_000, number, np.float32)}, "number": number}
            save_checkpoint(Path(sys.argv[1]), state, env_steps=number, keep=2)
            print(number, flush=True)
        """
    )
    written = 0
    for attempt in range(5):
        command = [sys.executable, "-c", script, str(tmp_path), str(written + 1)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for _ in range(3 + attempt):
            written = int(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        path, loaded = load_newest(tmp_path, pytest.fail)
        assert int(path.name) >= written and loaded["number"] == int(path.name)
        np.testing.assert_array_equal(loaded["model"]["weight"], np.full(20_000, loaded["number"], np.float32))
        written = int(path.name)
