"""Checkpoints: whole or absent, verified, never pickle."""

import hashlib
import json
import pickle
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rl_platform.runtime.checkpoint import (
    CheckpointError,
    checkpoints,
    load_checkpoint,
    load_newest,
    save_checkpoint,
    set_aside_newer,
)

WHEN = ("a write under way", "between two writes")


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


def names(root) -> list[str]:
    return [path.name for path in checkpoints(root)]


def test_only_the_newest_are_kept(tmp_path):
    for number in (5, 20, 100):
        save_checkpoint(tmp_path, state(number), env_steps=number, keep=2)
    assert names(tmp_path) == ["100", "20"]


@pytest.mark.parametrize(("keep", "kept"), [(1, ["9"]), (2, ["100", "9"])])
def test_the_one_just_written_is_kept_whatever_its_number(tmp_path, keep, kept):
    for number in (20, 100, 9):
        save_checkpoint(tmp_path, state(number), env_steps=number, keep=keep)
    assert names(tmp_path) == kept


def test_a_replaced_checkpoint_counts_until_the_new_one_is_in_place(tmp_path):
    path = save_checkpoint(tmp_path, state(7), env_steps=7, keep=1)
    path.rename(tmp_path / "7.old")  # killed between the two renames
    found, loaded = load_newest(tmp_path, pytest.fail)
    assert (found.name, loaded["counters"]["env_steps"]) == ("7.old", 7)
    save_checkpoint(tmp_path, state(8), env_steps=7, keep=1)
    assert [entry.name for entry in tmp_path.iterdir()] == ["7"]
    assert load_checkpoint(path)["counters"]["env_steps"] == 8


def test_one_left_over_beside_its_replacement_is_cleared_away(tmp_path):
    path = save_checkpoint(tmp_path, state(7), env_steps=7, keep=1)
    shutil.copytree(path, tmp_path / "7.old")  # killed before the deletion
    assert names(tmp_path) == ["7", "7.old"]
    save_checkpoint(tmp_path, state(8), env_steps=7, keep=1)
    assert [entry.name for entry in tmp_path.iterdir()] == ["7"]
    assert load_checkpoint(path)["counters"]["env_steps"] == 8


def test_damaged_newer_ones_are_set_aside(tmp_path):
    for number in (1, 2, 3):
        path = save_checkpoint(tmp_path, state(number), env_steps=number, keep=3)
        if number > 1:
            _damage(path / "state.json", "flip")
    found, _ = load_newest(tmp_path, lambda line: None)
    set_aside_newer(tmp_path, found)
    assert names(tmp_path) == ["1"]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["1", "damaged-2", "damaged-3"]


def test_a_save_that_the_disk_refuses_leaves_what_was_there(tmp_path):
    """As on a full disk: no file may be larger than 1 kB."""
    save_checkpoint(tmp_path, state(1), env_steps=1, keep=1)
    large = state(2) | {"large": {"array": np.zeros(1000)}}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            save_checkpoint(tmp_path, large, env_steps=2, keep=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [entry.name for entry in tmp_path.iterdir()] == ["1"]
    assert_equal(load_checkpoint(tmp_path / "1"), state(1))


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


def test_no_flipped_bit_of_a_manifest_goes_unnoticed(tmp_path):
    """Nothing holds its digest: each bit must be refused, or change nothing that is read."""
    path = save_checkpoint(tmp_path, state(1), env_steps=1, keep=3) / "manifest.json"
    content, refused = path.read_bytes(), 0
    for bit in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            assert_equal(load_checkpoint(path.parent), state(1))
        except CheckpointError:
            refused += 1
    assert refused > 0.9 * 8 * len(content)


@pytest.mark.parametrize("name", ["model.safetensors", "state.json"])
def test_a_file_of_another_format_is_refused_though_its_digest_is_right(tmp_path, name):
    path = save_checkpoint(tmp_path, state(1), env_steps=1, keep=3)
    pickled = pickle.dumps(1)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["sha256"][name] = hashlib.sha256(pickled).hexdigest()
    (path / "manifest.json").write_text(json.dumps(manifest))
    (path / name).write_bytes(pickled)
    with pytest.raises(CheckpointError, match=rf"{name} is not a (safetensors|JSON) file"):
        load_checkpoint(path)


def test_a_manifest_of_another_format_is_refused(tmp_path):
    path = save_checkpoint(tmp_path, state(1), env_steps=1, keep=3)
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | {"format": 2}))
    with pytest.raises(CheckpointError, match="is not of format 1"):
        load_checkpoint(path)


def test_what_a_killed_process_left_is_cleared_away_by_the_next_save(tmp_path):
    for number in (1, 2, 3):
        path = save_checkpoint(tmp_path, state(number), env_steps=number, keep=3)
    path.rename(tmp_path / ".unfinished-3-1234")  # killed while it wrote
    (tmp_path / "1" / "manifest.json").unlink()  # killed while it deleted
    save_checkpoint(tmp_path, state(4), env_steps=4, keep=3)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["2", "4"]


def test_killed_at_any_time_leaves_only_whole_checkpoints():
    """At random moments, and before every file operation of a save; the state is as large as CartPole's."""
    script = Path(__file__).parents[2] / "benchmarks" / "kill_checkpoints.py"
    command = [sys.executable, str(script), "classic/cartpole_impala", "--kills", "5"]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    report = json.loads(finished.stdout)
    assert report["kills_at_random_moments"] == sum(report["found_after_them"].get(when, 0) for when in WHEN) == 5
    assert all(kills >= 15 for kills in report["kills_before_each_file_operation"].values())
    assert report["unreadable"] == []
