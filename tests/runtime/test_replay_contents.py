"""Replay contents in the checkpoints of real runs: exact where they come back, named where they do not."""

import re
import threading
from pathlib import Path

import numpy as np
import pytest

from configs.loader import load_config
from learners.learner import Learner
from replay.contents import ReplayContents
from replay.shard import ReplayShard
from replay.source import ReplaySource
from replay.sources import uniform
from rl_platform.core.types import Trajectory, Unroll
from rl_platform.runtime import build, build_envs
from rl_platform.runtime.checkpoint import checkpoints, load_checkpoint, save_checkpoint
from rl_platform.runtime.errors import InputError
from rl_platform.runtime.replay_states import restore, segment_files
from tests.replay.columns import numbers, unroll
from tests.runtime.launched import INLINE, RAY, SMALL, last_state, run

MIXED = [
    "--replay.sources=[{kind: queue, share: 0.5}, "
    "{kind: elite, share: 0.25, capacity: 60, min_fill: 16, insertion_tries: 2, candidates: {initial: 4, draws: 50}}, "
    "{kind: uniform, share: 0.25, capacity: 60, min_fill: 16}]"
]
KEPT = [*MIXED, "--replay.checkpoint=true"]


def assert_same(one, other, path: str = "") -> None:
    """Nested dicts, to the last bit."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one:
            assert_same(one[key], other[key], f"{path}/{key}")
    elif isinstance(one, np.ndarray):
        assert (one.dtype, one.tobytes()) == (other.dtype, other.tobytes()), path
    else:
        assert one == other, path


def segments(directory: Path) -> set[str]:
    return {path.name for path in (directory / "replay").rglob("*.safetensors")}


def log_of(directory: Path) -> str:
    return (directory / "log.txt").read_text()


@pytest.mark.parametrize("pipeline", ["serial", "overlapped"])
def test_a_resumed_run_has_the_contents_the_lambda_and_the_generators_of_the_one_before(tmp_path, pipeline):
    wiring = ["--cluster.mode=inline", f"--cluster.pipeline={pipeline}", "--run.total_env_steps=2000"]
    run(tmp_path, *wiring, *KEPT)
    before = last_state(tmp_path)
    assert 0 < before["replay"]["rank_0"]["elite_1"]["draws"] < 50
    assert segment_files(before) <= segments(tmp_path)
    _, status = run(tmp_path, *wiring, *KEPT, resume=True)  # nothing is left to do: it restores and saves
    assert status == 0
    assert_same(before["replay"], last_state(tmp_path)["replay"])  # columns: by their sha256
    assert "replay source elite_1 goes on with 60 columns" in log_of(tmp_path)
    further = [*wiring[:2], "--run.total_env_steps=4000"]
    assert run(tmp_path, *further, *KEPT, resume=True)[1] == 0
    assert last_state(tmp_path)["replay"]["rank_0"]["elite_1"]["draws"] > before["replay"]["rank_0"]["elite_1"]["draws"]


@pytest.mark.slow
def test_a_run_over_ray_goes_on_with_the_contents_of_the_run_before_and_saves_them_again(tmp_path):
    run(tmp_path, *INLINE, *KEPT, "--run.total_env_steps=2000")
    before = last_state(tmp_path)
    _, status = run(tmp_path, *RAY, *KEPT, "--run.total_env_steps=2000", resume=True)
    assert status == 0
    assert_same(before["replay"], last_state(tmp_path)["replay"])
    assert "replay actor 0: replay source elite_1 goes on with 60 columns" in log_of(tmp_path)


CONFIG = load_config("classic/cartpole_impala", [*SMALL, *INLINE, *KEPT, "--run.torch_threads=1"])


def recorded(num_unrolls: int) -> list[Unroll]:
    """Unrolls of a worker whose weights do not change, in memory of their own."""
    worker, weights = build.make_worker(CONFIG, 0, 0), build.make_learner(CONFIG, build_envs.env_spec(CONFIG)).weights()
    unrolls = [owned(worker.collect(weights)[0]) for _ in range(num_unrolls)]
    worker.close()
    return unrolls


def owned(played: Unroll) -> Unroll:
    return played._replace(steps=Trajectory(*(np.array(array) for array in played.steps)))


def learn(shard: ReplayShard, learner: Learner, unrolls: list[Unroll]) -> None:
    """The unrolls count as played with the present weights, so that none is stale."""
    for steps, origin in unrolls:
        shard.insert(Unroll(steps, origin._replace(weight_version=learner.weights().version)))
        while shard.status().ready:
            weights = learner.weights()
            batch = shard.next_batch(weights.version, weights)
            assert batch is not None
            learner.update(batch)


def test_interrupted_and_resumed_learns_from_the_same_unrolls_the_same_to_the_last_bit(tmp_path):
    """What a resumed run does not have is the games under way: here the unrolls after them are given."""
    spec, unrolls = build_envs.env_spec(CONFIG), recorded(20)
    shard, learner = build.make_shard(CONFIG, spec), build.make_learner(CONFIG, spec)
    contents = build.make_contents(CONFIG, tmp_path)
    learn(shard, learner, unrolls[:10])
    assert shard.status().columns == 0, "no checkpoint holds what waits in the queue"
    state = learner.state_dict() | {"replay": contents.state_dict(shard.sources)}
    checkpoint = load_checkpoint(save_checkpoint(tmp_path / "checkpoints", state, env_steps=1, keep=1))
    learn(shard, learner, unrolls[10:])

    resumed, again = build.make_shard(CONFIG, spec), build.make_learner(CONFIG, spec)
    again.load_state_dict(checkpoint)
    lines = restore(build.make_contents(CONFIG, tmp_path), resumed.sources, checkpoint["replay"])
    assert lines == ["replay source elite_1 goes on with 60 columns", "replay source uniform_2 goes on with 60 columns"]
    learn(resumed, again, unrolls[10:])
    assert_same(learner.state_dict(), again.state_dict())
    for one, other in zip(shard.sources, resumed.sources, strict=True):
        assert_same(one.state_dict(), other.state_dict())
        assert_same(one.ring.read(one.ring.filled())._asdict(), other.ring.read(other.ring.filled())._asdict())


def test_a_damaged_segment_is_named_and_the_run_goes_on_without_its_columns(tmp_path):
    run(tmp_path, *INLINE, *KEPT, "--run.total_env_steps=2000")
    for victim in (tmp_path / "replay" / "rank_0" / "elite_1").glob("*.safetensors"):
        victim.write_bytes(victim.read_bytes()[:-1])
    _, status = run(tmp_path, *INLINE, *KEPT, "--run.total_env_steps=4000", resume=True)
    log = log_of(tmp_path)
    assert status == 0
    assert f"columns are lost: {victim} is damaged" in log
    assert "replay source elite_1 goes on with 0 columns" in log
    assert "replay source uniform_2 goes on with 60 columns" in log
    resumed = log.partition("elite_1 goes on")[2]
    assert resumed.index("the queue serves 25 % of a batch") < resumed.index("all replay sources serve")


def test_without_contents_lambda_and_generators_still_go_on(tmp_path):
    run(tmp_path, *INLINE, *MIXED, "--run.total_env_steps=2000")
    before = last_state(tmp_path)["replay"]["rank_0"]
    assert before["elite_1"].keys() == {"draws", "rng"} and before["elite_1"]["draws"] > 0
    run(tmp_path, *INLINE, *MIXED, "--run.total_env_steps=2000", resume=True)
    assert_same(before, last_state(tmp_path)["replay"]["rank_0"])
    assert "replay source elite_1 goes on with 0 columns" in log_of(tmp_path)
    assert not (tmp_path / "replay").exists()


def test_every_kept_checkpoint_finds_its_segments_and_the_rest_is_deleted(tmp_path):
    often = ["--run.checkpoint_every_s=0.02", "--run.keep_checkpoints=2"]
    run(tmp_path, *INLINE, *KEPT, *often, "--run.total_env_steps=6000")
    kept = checkpoints(tmp_path / "checkpoints")
    needed = [segment_files(load_checkpoint(path)) for path in kept]
    assert len(kept) == 2 and all(needed) and needed[0] != needed[1]
    assert needed[0] | needed[1] <= segments(tmp_path)
    first_serials = [int(name.split("-")[0]) for name in segments(tmp_path)]
    assert min(first_serials) > 0, "the first segments, long of no use, are still there"


@pytest.mark.parametrize("change", ["--actors.unroll_length=5", "capacity: 90"])
def test_contents_that_do_not_fit_are_refused_with_the_remedy(tmp_path, change):
    run(tmp_path, *INLINE, *KEPT, "--run.total_env_steps=800")
    changed = [*KEPT, change] if change.startswith("--") else [key.replace("capacity: 60", change) for key in KEPT]
    with pytest.raises(InputError, match=r"contents do not fit; set it back, or .*--replay.checkpoint=false"):
        run(tmp_path, *INLINE, *changed, "--run.total_env_steps=1600", resume=True)
    remedy = [*changed, "--replay.checkpoint=false", "--run.total_env_steps=1600"]
    assert run(tmp_path, *INLINE, *remedy, resume=True)[1] == 0
    assert re.search(r"elite_1 goes on with 0 columns", log_of(tmp_path))


@pytest.mark.parametrize("change", ["--run.seed=7", "--replay.features=null"])
def test_features_of_another_projection_are_refused_before_anything_is_written(tmp_path, change):
    projected = [*KEPT, "--replay.features=64"]  # as many as the trunk has
    run(tmp_path, *INLINE, *projected, "--run.total_env_steps=800")
    before = (tmp_path / "config.yaml").read_bytes()
    with pytest.raises(InputError, match=r"features of a step .*contents do not fit; set it back"):
        run(tmp_path, *INLINE, *projected, change, "--run.total_env_steps=1600", resume=True)
    assert (tmp_path / "config.yaml").read_bytes() == before


def test_features_that_no_seed_goes_into_are_restored_under_another(tmp_path):
    unprojected = [*KEPT, "--replay.features=null"]
    run(tmp_path, *INLINE, *unprojected, "--run.total_env_steps=800")
    run(tmp_path, *INLINE, *unprojected, "--run.seed=7", "--run.total_env_steps=1600", resume=True)
    assert "replay source elite_1 goes on with 60 columns" in log_of(tmp_path)


def test_the_first_rank_clears_the_folders_of_ranks_that_are_no_more(tmp_path):
    source = ring_of_64()
    source.insert(unroll(0, 4))
    for rank in range(3):
        build.make_contents(CONFIG, tmp_path, rank).state_dict([source])
    state = build.make_contents(CONFIG, tmp_path).state_dict([source])
    assert [path.name for path in (tmp_path / "replay").iterdir()] == ["rank_0"]
    assert segments(tmp_path) == set(state["uniform"]["segments"])


def test_a_disk_that_refuses_costs_the_contents_and_not_the_checkpoint(tmp_path):
    (tmp_path / "replay").write_text("a file where the folder should be")
    summary, status = run(tmp_path, *INLINE, *KEPT, "--run.total_env_steps=800")
    assert (status, summary["status"]) == (0, "done")
    assert "replay" not in last_state(tmp_path)
    assert "replay contents not written" in log_of(tmp_path)


def ring_of_64() -> ReplaySource:
    return uniform(64, min_fill=1, rng=np.random.default_rng(0))


def test_columns_that_come_while_contents_are_written_never_mix_with_those_that_were_there(tmp_path):
    """As in a replay actor: one thread inserts without end, the other writes."""
    lock, ended = threading.Lock(), threading.Event()
    source, contents = ring_of_64(), ReplayContents(tmp_path, segment_columns=8)

    def insert_forever() -> None:
        while not ended.is_set():
            with lock:
                source.insert(unroll(source.ring.seen % 60_000, 4))  # float16 has no greater numbers

    inserting = threading.Thread(target=insert_forever)
    inserting.start()
    try:
        seen = []
        for _ in range(20):
            state = contents.state_dict([source], lock=lock)
            again = ring_of_64()
            ReplayContents(tmp_path).load_state_dict([again], state, pytest.fail)
            held = again.ring.filled()
            assert numbers(again.ring.read(held)) == (again.ring.serial[held] % 60_000).tolist()
            np.testing.assert_array_equal(again.ring.serial, state["uniform"]["ring"]["serial"])
            seen.append(again.ring.seen)
    finally:
        ended.set()
        inserting.join()
    assert seen == sorted(seen) and seen[-1] > seen[0] + 64, "nothing came meanwhile"
