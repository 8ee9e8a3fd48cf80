"""Replay that cannot fit into the machine is refused before anything starts."""

import numpy as np
import pytest

from configs.loader import load_config
from replay.ring import ColumnRing
from rl_platform.runtime import build, build_envs
from rl_platform.runtime.errors import InputError
from rl_platform.runtime.replay_memory import check_replay_fits, column_bytes, physical_memory
from tests.refusals import assert_refused

CARTPOLE = "classic/cartpole_elite"
OVER_RAY = ["--cluster.mode=ray", "--cluster.num_learners=2", "--cluster.feeder=actor", "--actors.count=2"]


@pytest.mark.parametrize("name", [CARTPOLE, "classic/pendulum_ppo", "atari/pong_attentive"])
def test_a_columns_bytes_are_those_that_a_ring_stores(name):
    config = load_config(name, ["--actors.envs_per_actor=2", "--learner.batch_columns=2", "--learner.minibatches=1"])
    spec, worker = build_envs.env_spec(config), build.make_worker(config, 0, 0)
    unroll, _ = worker.collect(build.make_learner(config, spec).weights())
    ring = ColumnRing(2)
    ring.write(np.array([0]), unroll, slice(0, 1))
    worker.close()
    memory_size = build.make_network(config, spec).memory_size
    assert column_bytes(config, spec, memory_size) == sum(array.nbytes for array in ring.read(ring.filled()))


def test_what_just_fits_is_allowed_and_one_byte_less_is_refused_with_what_would_fit():
    config = load_config(CARTPOLE)  # 128 + 1,000 columns
    check_replay_fits(config, per_column_bytes=1_000_000, memory_bytes=1_128_000_000)
    with pytest.raises(InputError) as refused:
        check_replay_fits(config, per_column_bytes=1_000_000, memory_bytes=1_127_999_999)
    for words in ("1128 columns of 1000000 bytes, 1.1 GB in each replay actor", "lower them to 902 columns"):
        assert words in str(refused.value)


def test_replay_actors_of_one_machine_share_its_memory_and_those_of_a_cluster_are_left_alone(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    here, elsewhere = (load_config(CARTPOLE, [*OVER_RAY, *more]) for more in ([], ["--cluster.address=host:6379"]))
    with pytest.raises(InputError, match=r"in each replay actor \(2 here\), .* lower them to 451 columns"):
        check_replay_fits(here, per_column_bytes=1_000_000, memory_bytes=1_128_000_000)
    check_replay_fits(elsewhere, per_column_bytes=1_000_000, memory_bytes=1_128_000_000)
    monkeypatch.setenv("RAY_ADDRESS", "host:6379")
    check_replay_fits(here, per_column_bytes=1_000_000, memory_bytes=1_128_000_000)


def test_a_run_that_can_never_fit_is_refused_before_it_has_a_folder(tmp_path, capsys):
    too_many = ["--actors.unroll_length=1000", "--replay.sources.1.capacity=10_000_000"]  # 3 TB
    assert_refused(capsys, ["train", CARTPOLE, *too_many, "--run.dir", str(tmp_path / "run")], ["lower them to"])
    assert not (tmp_path / "run").exists()


def test_the_memory_of_a_limited_container_is_its_limit(tmp_path):
    machine = physical_memory(tmp_path / "no cgroups")
    for file in ("memory.max", "memory/memory.limit_in_bytes"):  # of cgroup v2, of v1
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(f"{machine // 2}\n")
        assert physical_memory(tmp_path) == machine // 2
        (tmp_path / file).write_text(f"{machine * 2}\n")
        assert physical_memory(tmp_path) == machine
    (tmp_path / "memory.max").write_text("max\n")
    assert physical_memory(tmp_path) == machine
