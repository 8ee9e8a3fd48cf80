"""Replay contents on disk: written once, restored exactly, verified."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from replay import sources
from replay.candidates import CandidateSchedule
from replay.contents import ReplayContents
from replay.distance import norm
from replay.scoring import Scorer
from replay.source import ReplaySource
from rl_platform.runtime.checkpoint import load_checkpoint, save_checkpoint
from tests.replay.columns import moved_features, numbers, random_unroll


def on_disk(folder: Path | None) -> ReplayContents:
    return ReplayContents(folder, segment_columns=5)


def uniform(capacity: int = 20) -> ReplaySource:
    return sources.uniform(capacity, min_fill=1, rng=np.random.default_rng(0))


def reservoir(capacity: int = 20) -> ReplaySource:
    return sources.reservoir(capacity, min_fill=1, rng=np.random.default_rng(0))


def feed(source: ReplaySource, first: int, num_columns: int) -> None:
    rng = np.random.default_rng(first)
    for start in range(first, first + num_columns, 4):
        source.insert(random_unroll(rng, start, min(4, first + num_columns - start), version=start))


def restored(make, folder, state) -> tuple[ReplaySource, list[str]]:
    source, lost = make(), []
    on_disk(folder).load_state_dict([source], state, lost.append)
    return source, lost


def assert_same(one: ReplaySource, other: ReplaySource) -> None:
    for key, value in one.ring.state_dict().items():
        np.testing.assert_array_equal(value, other.ring.state_dict()[key], err_msg=key)
    filled = one.ring.filled()
    for field, again in zip(one.ring.read(filled), other.ring.read(filled), strict=True):
        np.testing.assert_array_equal(field, again)
        assert field.dtype == again.dtype


def files(folder) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("make", [uniform, reservoir])
@pytest.mark.parametrize("num_columns", [3, 20, 57])
def test_contents_come_back_exactly_through_a_checkpoint(tmp_path, make, num_columns):
    source, contents = make(), on_disk(tmp_path / "replay")
    for first in range(0, num_columns, 19):  # several checkpoints, as in a run
        feed(source, first, min(19, num_columns - first))
        source.draw(3, None)
        state = {"replay": contents.state_dict([source])}
        path = save_checkpoint(tmp_path / "checkpoints", state, env_steps=first + 1, keep=2)
    again, lost = restored(make, tmp_path / "replay", load_checkpoint(path)["replay"])
    assert lost == []
    assert_same(source, again)
    for _ in range(3):
        assert source.draw(3, None).tolist() == again.draw(3, None).tolist()


def test_a_second_write_adds_only_what_is_new(tmp_path):
    source, contents = uniform(), on_disk(tmp_path)
    feed(source, 0, 15)
    contents.state_dict([source])
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    assert len(before) == 3
    feed(source, 15, 5)
    state = contents.state_dict([source])
    new = files(tmp_path) - {path.name for path in before}
    assert [name.split("-")[:2] for name in new] == [["15", "19"]]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert contents.state_dict([source])["uniform"]["segments"].keys() == state["uniform"]["segments"].keys()


def test_segments_go_when_their_columns_have_left_and_not_before_the_next_checkpoint(tmp_path):
    source, contents = uniform(), on_disk(tmp_path)
    feed(source, 0, 20)
    contents.state_dict([source])
    first = files(tmp_path)
    feed(source, 20, 20)
    contents.state_dict([source])
    assert first < files(tmp_path) and len(files(tmp_path)) == 8
    state = contents.state_dict([source])
    assert files(tmp_path) == set(state["uniform"]["segments"]) and len(files(tmp_path)) == 4


def test_the_disk_holds_little_more_than_the_ring(tmp_path):
    """Random eviction takes columns from everywhere: half-empty segments are written anew."""
    scorer = Scorer(moved_features, norm(2.0))

    def at_random() -> ReplaySource:
        return sources.elite(20, min_fill=1, rng=np.random.default_rng(0), candidates=CandidateSchedule(2.0),
                             scorer=scorer, insertion_tries=1)  # fmt: skip

    source, contents = at_random(), on_disk(tmp_path)
    for first in range(0, 200, 5):
        feed(source, first, 5)
        state = contents.state_dict([source])
        assert sum(len(segment["serial"]) for segment in state["elite"]["segments"].values()) <= 2 * 20
    again, lost = restored(at_random, tmp_path, state)
    assert lost == []
    assert_same(source, again)


def test_the_checkpoint_before_still_finds_its_columns(tmp_path):
    source, contents = uniform(), on_disk(tmp_path)
    feed(source, 0, 20)
    before = contents.state_dict([source])
    twin, _ = restored(uniform, tmp_path, before)
    feed(source, 20, 37)
    contents.state_dict([source])  # the run dies before its checkpoint is complete
    again, lost = restored(uniform, tmp_path, before)
    assert lost == []
    assert_same(twin, again)
    resumed = on_disk(tmp_path)
    resumed.load_state_dict([again], before, lost.append)
    feed(again, 30, 9)  # other columns of the same serials as those of the abandoned future
    once_more, lost = restored(uniform, tmp_path, resumed.state_dict([again]))
    assert lost == []
    assert_same(again, once_more)


@pytest.mark.parametrize("harm", ["damaged", "missing"])
def test_a_damaged_segment_is_passed_over_and_named(tmp_path, harm):
    source, contents = uniform(), on_disk(tmp_path)
    feed(source, 0, 20)
    state = contents.state_dict([source])
    (victim,) = (tmp_path / "uniform").glob("5-9-*")
    if harm == "damaged":
        content = bytearray(victim.read_bytes())
        content[-1] ^= 1
        victim.write_bytes(content)
    else:
        victim.unlink()
    again, lost = restored(uniform, tmp_path, state)
    assert len(lost) == 1 and victim.name in lost[0] and "5 columns are lost" in lost[0]
    assert numbers(again.ring.read(again.ring.filled())) == [*range(5), *range(10, 20)]
    assert not again.ready(16) and set(again.draw(15, None).tolist()) == {*range(5), *range(10, 20)}
    feed(again, 20, 12)
    assert sorted(numbers(again.ring.read(again.ring.filled()))) == list(range(12, 32))


def test_a_ring_of_which_everything_is_lost_begins_anew(tmp_path):
    source, lost = reservoir(), []
    feed(source, 0, 50)
    state = on_disk(tmp_path / "gone").state_dict([source])
    again, contents = reservoir(), on_disk(tmp_path / "elsewhere")
    contents.load_state_dict([again], state, lost.append)
    assert len(lost) == len(state["reservoir"]["segments"])
    assert len(again.ring) == 0 and again.ring.seen == 0
    feed(again, 100, 50)  # other columns of the same serials
    once_more, lost = restored(reservoir, tmp_path / "elsewhere", contents.state_dict([again]))
    assert lost == []
    assert_same(again, once_more)


def test_without_a_folder_only_the_counters_are_kept():
    source = uniform()
    feed(source, 0, 20)
    source.draw(4, None)
    state = on_disk(None).state_dict([source])
    assert "segments" not in state["uniform"]
    again, lost = restored(uniform, None, state)
    assert lost == [] and len(again.ring) == 0
    feed(again, 0, 20)
    assert again.draw(4, None).tolist() == source.draw(4, None).tolist()


def test_a_new_source_begins_empty_and_says_so(tmp_path):
    state = on_disk(tmp_path).state_dict([])
    source, lost = restored(uniform, tmp_path, state)
    assert len(source.ring) == 0 and lost == ["replay source uniform is not in the checkpoint: it begins empty"]


def named(name: str) -> ReplaySource:
    return sources.uniform(20, min_fill=1, rng=np.random.default_rng(0), name=name)


@pytest.mark.parametrize("former", ["the source has another name", "the shard is no more"])
def test_columns_that_nobody_goes_on_with_are_told_of_and_go_with_the_checkpoints_that_name_them(tmp_path, former):
    one, folder = named("uniform_1"), tmp_path / "rank_0"
    before = folder if former == "the source has another name" else tmp_path / "rank_1"
    feed(one, 0, 20)
    state = on_disk(before).state_dict([one])
    named_by_it = set(state["uniform_1"]["segments"])
    other, contents, said = named("uniform_2"), ReplayContents(folder, former=[tmp_path / "rank_1"]), []
    contents.load_state_dict([other], state, said.append)
    assert said[0] == "replay source uniform_2 is not in the checkpoint: it begins empty"
    assert [line for line in said if "uniform_1" in line] == [
        f"nobody goes on with the replayed columns in {before / 'uniform_1'}: "
        "they go with the checkpoints that name them"
    ]
    feed(other, 100, 20)
    contents.state_dict([other], needed=named_by_it)
    assert named_by_it < files(tmp_path)
    state = contents.state_dict([other])
    assert files(tmp_path) == set(state["uniform_2"]["segments"])
    assert {path.name for path in tmp_path.rglob("*") if path.is_dir()} == {"rank_0", "uniform_2"}


def test_columns_of_a_run_that_keeps_none_any_more_go(tmp_path):
    source = uniform()
    feed(source, 0, 20)
    on_disk(tmp_path / "rank_0").state_dict([source])
    ReplayContents(None, former=[tmp_path / "rank_0"]).state_dict([source])
    assert list(tmp_path.iterdir()) == []


def test_another_capacity_is_refused_before_anything_is_read(tmp_path):
    source, contents = uniform(), on_disk(tmp_path)
    feed(source, 0, 20)
    state = contents.state_dict([source])
    with pytest.raises(ValueError, match="capacity"):
        restored(partial(uniform, 10), tmp_path, state)
