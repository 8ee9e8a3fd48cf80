"""The Ray wiring as a whole: where it runs, and how a run ends that cannot start or loses what it cannot replace."""

import json
import logging
import os
import signal
import subprocess
import tempfile
from pathlib import Path

import psutil
import pytest
import ray

from configs.loader import load_config
from rl_platform.runtime.errors import InputError
from rl_platform.runtime.ray_actors import LearnerActor, RankSpec, ReplayActor
from rl_platform.runtime.ray_cluster import Placement, connected
from rl_platform.runtime.run import log
from rl_platform.runtime.starting import started
from rl_platform.runtime.stop import StopRequest
from tests.runtime.launched import RAY, command

SMALL = [
    "--actors.envs_per_actor=8", "--actors.unroll_length=10", "--learner.batch_columns=8", "--actors.count=2",
    "--cluster.mode=ray", "--cluster.object_store_mb=80", "--logging.progress=off", "--logging.tensorboard=false",
    "--logging.every_s=0.2",
]  # fmt: skip


def config(*overrides: str):
    return load_config("classic/cartpole_impala", [*SMALL, *overrides])


@pytest.fixture(scope="module")
def local_ray():
    ray.init(address="local", num_cpus=3, include_dashboard=False, object_store_memory=80 * 2**20, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def ray_folder(monkeypatch):
    """A machine on which somebody typed `ray start`: its note names a Ray that is not there any more."""
    with tempfile.TemporaryDirectory(prefix="r") as folder:  # short: Ray puts sockets in it
        (Path(folder) / "ray").mkdir()
        (Path(folder) / "ray" / "ray_current_cluster").write_text("127.0.0.1:9")
        monkeypatch.setenv("RAY_TMPDIR", folder)
        yield


@pytest.mark.slow
def test_sigterm_while_ray_starts_ends_the_run_as_any_other(tmp_path, ray_folder):
    process = subprocess.Popen(command(tmp_path, *RAY), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while not any("raylet" in child.name() for child in psutil.Process(process.pid).children()):
        assert process.poll() is None, process.stdout.read()
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM, output
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["status"], summary["env_steps"]) == ("stopped", 0)
    assert "Traceback" not in output


def test_a_run_that_asks_for_more_than_there_is_ends_at_once(tmp_path):
    wanted = config("--cluster.gpus_per_learner=1")
    with (
        StopRequest(tmp_path) as stop,
        pytest.raises(InputError, match=r"asks for 1 GPUs and Ray has 0: lower cluster.gpus_per_learner"),
        connected(wanted, stop),
    ):
        pass
    assert not ray.is_initialized()


@pytest.mark.parametrize(("address", "reason"), [("127.0.0.1:9", "refused"), ("nonsense", "nonsense")])
def test_a_ray_that_is_not_there_is_named(tmp_path, address, reason):
    with (
        StopRequest(tmp_path) as stop,
        pytest.raises(InputError, match=rf"^cluster.address {address}: .*{reason}"),
        connected(config(f"--cluster.address={address}"), stop),
    ):
        pass


def refuse():
    raise RuntimeError("no such optimiser")


def test_a_learner_that_cannot_start_is_blamed_for_it(tmp_path, local_ray):
    learner = LearnerActor.options(num_cpus=0).remote(RankSpec(0, 1, "gloo", 20.0), torch_threads=1)
    with (
        StopRequest(tmp_path) as stop,
        pytest.raises(RuntimeError, match=r"^the learner could not start: RuntimeError: no such optimiser$"),
    ):
        started("learner", learner.begin.remote(lambda ranks: refuse(), None, None, None), stop)


def test_an_actor_that_finds_no_place_is_spoken_of_and_does_not_keep_a_run_from_being_stopped(
    tmp_path, local_ray, monkeypatch
):
    monkeypatch.setattr("rl_platform.runtime.starting._TELL_AFTER_S", 0.1)
    said = []
    shard = ReplayActor.options(num_cpus=100).remote(refuse)
    reader = logging.Handler()
    reader.emit = lambda record: said.append(record.getMessage()) or (tmp_path / "stop").touch()
    log.addHandler(reader)
    with StopRequest(tmp_path) as stop:
        assert not started("replay actor", shard.status.remote(), stop)
    log.removeHandler(reader)
    assert len(said) == 1
    assert said[0].startswith("still waiting for the replay actor to start; Ray has free: {'CPU': 3.0")
    ray.kill(shard)


@ray.remote
class Anybody:
    def pid(self) -> int:
        return os.getpid()


def test_a_rollout_actor_that_died_leaves_its_place_to_its_replacement(local_ray):
    place = Placement(config())
    try:
        crowd = [Anybody.options(num_cpus=1, **place.beside_learner(0)).remote()]
        crowd += [Anybody.options(num_cpus=1, **place.of_rollout_actor(actor)).remote() for actor in range(2)]
        beside = Anybody.options(num_cpus=0, **place.beside_learner(0)).remote()
        pids = ray.get([actor.pid.remote() for actor in (*crowd, beside)], timeout=30)
        assert len(set(pids)) == 4
        assert ray.available_resources().get("CPU", 0) == 0
        os.kill(pids[2], signal.SIGKILL)
        crowd[2] = Anybody.options(num_cpus=1, **place.of_rollout_actor(1)).remote()
        assert ray.get(crowd[2].pid.remote(), timeout=30) not in pids
    finally:
        place.release()


def test_actors_that_ask_for_nothing_need_no_place(local_ray):
    nothing = Placement(config("--cluster.actor_cpus=0", "--cluster.learner_cpus=0"))
    assert nothing.beside_learner(0) == nothing.of_rollout_actor(1) == {}
    nothing.release()
    place = Placement(config("--cluster.actor_cpus=1", "--cluster.learner_cpus=0"))
    assert place.of_rollout_actor(1)["scheduling_strategy"].placement_group_bundle_index == 1
    place.release()
