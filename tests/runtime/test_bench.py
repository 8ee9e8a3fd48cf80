"""What bench computes from what it saw, and how it sees it."""

import io
import json
import math
import os
import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from configs.loader import load_config
from rl_platform.runtime.bench import probe
from rl_platform.runtime.bench.accounting import Look, Pipeline, per_env_steps, used
from rl_platform.runtime.bench.apart import run_apart
from rl_platform.runtime.bench.backend import backend
from rl_platform.runtime.bench.command import Durations, bench, parse_parts
from rl_platform.runtime.bench.cpu import CpuWatch, Process, Thread
from rl_platform.runtime.bench.overlap import Overlap
from rl_platform.runtime.bench.pipeline import measure_pipeline
from rl_platform.runtime.bench.report import Report, show, to_json
from rl_platform.runtime.bench.stages import StageCost, roofline
from rl_platform.runtime.bench.wire import Wire, measure_wire, stored_bytes
from rl_platform.runtime.errors import InputError
from tests.refusals import assert_refused

SMALL = ["--actors.envs_per_actor=4", "--actors.count=1", "--learner.batch_columns=4"]
DURATIONS = Durations(stage_s=1.0, run_s=1.0, rounds=1)

BURN = """
import sys, threading, time
def burn():
    while time.thread_time() < 0.3:
        pass
thread = threading.Thread(target=burn)
thread.start()
thread.join()
print("burnt", flush=True)
sys.stdin.read()
"""


def stage(plain_ms: float, ratio: float = 1.0) -> StageCost:
    return StageCost(ratio * plain_ms, plain_ms, ratio, 0.9 * ratio, 1.1 * ratio)


def test_the_roofline_comes_of_the_plain_stages_alone():
    costs = {"env": stage(0.25), "inference": stage(0.15, ratio=3.0), "update": stage(0.4)}
    assert roofline(costs, cores=2) == pytest.approx(2500.0)


def test_the_watch_sees_what_a_child_burnt_even_in_a_thread_that_has_ended():
    watch = CpuWatch()
    with subprocess.Popen([sys.executable, "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        found = watch.look()[child.pid]
        while sum(thread.cpu_s for thread in found.threads.values()) > found.cpu_s - 0.25:  # until the thread is gone
            found = watch.look()[child.pid]
        child.stdin.close()
    assert 0.3 <= found.cpu_s < 3.0


def test_the_watch_leaves_out_what_looking_costs():
    watch = CpuWatch()
    before, clock = watch.look(), time.process_time()
    for _ in range(20):
        after = watch.look()
    burnt = after[os.getpid()].cpu_s - before[os.getpid()].cpu_s
    assert after[os.getpid()].name == "driver"
    assert burnt < 0.5 * (time.process_time() - clock)


def test_a_processs_clock_is_the_sum_of_its_threads():
    mine = CpuWatch().look()[os.getpid()]
    assert threading.get_native_id() in mine.threads
    assert sum(thread.cpu_s for thread in mine.threads.values()) <= mine.cpu_s + 0.02


PROBED = """
import os
import sys
from pathlib import Path

from configs.loader import load_config
from rl_platform.runtime import build, build_envs
from rl_platform.runtime.bench import probe
from rl_platform.runtime.bench.cpu import CpuWatch

folder = Path(sys.argv[1])
config = load_config("atari/pong_impala", sys.argv[2:])
spec = build_envs.env_spec(config)
learner, worker = build.make_learner(config, spec), probe.make_worker(folder, config, 0, 0)
before = CpuWatch().look()[os.getpid()]
stages_before = probe.stages_of(folder, os.getpid(), before)
for _ in range(5):
    worker.collect(learner.weights())
after = CpuWatch().look()[os.getpid()]
stages = probe.stages_of(folder, os.getpid(), after)
inside = {name: stages[name] - stages_before[name] for name in stages}
print(inside["env"], inside["inference"], inside["update"], after.cpu_s - before.cpu_s, probe.at_work(folder))
"""


def test_the_probe_splits_a_workers_cpu_time_into_stages(tmp_path):
    command = [sys.executable, "-c", PROBED, str(tmp_path), *SMALL]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True).stdout.split()
    env, inference, update, all_of_it = map(float, shown[:4])
    assert env > 0.01
    assert inference > 0.01
    assert update == 0.0
    assert 0.6 * all_of_it < env + inference < all_of_it
    assert shown[4] == "False"


def test_a_call_under_way_is_counted_up_to_now(tmp_path):
    pid, thread, update = 4711, 4712, probe.STAGES.index("update")
    np.array([0.0, 0.0, 2.0, update, thread, 5.0]).tofile(tmp_path / str(pid))
    process = Process("ray::LearnerActor", 9.0, {thread: Thread("main", 5.5), 1: Thread("ale-pool", 0.25)})
    assert probe.stages_of(tmp_path, pid, process) == {"env": 0.25, "inference": 0.0, "update": 2.5}
    assert probe.at_work(tmp_path)
    np.array([0.0, 0.0, 2.0, update, thread, math.nan]).tofile(tmp_path / str(pid))
    assert probe.stages_of(tmp_path, pid, process)["update"] == 2.0
    assert not probe.at_work(tmp_path)


def test_time_outside_the_stages_is_what_a_process_used_beyond_them():
    def look(at_s: float, actor_s: float, env_s: float, raylet_s: float) -> Look:
        threads = {1: Thread("main", actor_s)}
        processes = {7: Process("ray::RolloutActor", actor_s, threads), 8: Process("raylet", raylet_s, {})}
        nothing = dict.fromkeys(probe.STAGES, 0.0)
        return Look(at_s, processes, {7: nothing | {"env": env_s}, 8: nothing})

    training = used(look(100.0, 3.0, 1.0, 5.0), look(110.0, 11.0, 7.0, 5.5))
    idle = used(look(120.0, 11.0, 7.0, 6.0), look(130.0, 11.5, 7.0, 6.25))
    found = per_env_steps(1280.0, 10.0, training, idle)  # half a second for 640 env steps
    assert found.stages_ms == pytest.approx({"env": 300.0, "inference": 0.0, "update": 0.0})
    assert found.outside_by_process_ms["ray::RolloutActor"] == pytest.approx((100.0, 25.0))
    assert found.outside_by_process_ms["raylet"] == pytest.approx((25.0, 12.5))
    assert (found.outside_ms, found.idle_ms, found.overhead_ms) == pytest.approx((125.0, 37.5, 87.5))
    assert found.threads_ms == {"ray::RolloutActor/main": pytest.approx((400.0, 25.0))}


def test_a_process_that_begins_in_between_counts_from_its_beginning():
    later = Look(1.0, {9: Process("gcs_server", 0.5, {})}, {9: {}})
    assert used(Look(0.0, {}, {}), later).outside == {"gcs_server": 0.5}


def test_a_process_without_counters_hosts_no_stage(tmp_path):
    assert set(probe.stages_of(tmp_path, 1, Process("raylet", 1.0, {})).values()) == {0.0}


def test_stored_bytes_are_the_pickle_and_whole_cache_lines_of_arrays():
    arrays = (np.zeros(65, np.uint8), np.zeros(64, np.uint8))
    beside: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(arrays, protocol=5, buffer_callback=beside.append)
    assert stored_bytes(arrays) == len(pickled) + 128 + 64


def test_frames_cross_each_hop_once():
    wire = measure_wire(load_config("atari/pong_impala", SMALL))
    assert wire.bound == pytest.approx(1.03 * 24 / 20 * 84 * 84)
    for hop in (wire.rollout_to_replay, wire.replay_to_learner):
        assert 24 / 20 * 84 * 84 < hop <= wire.bound


def report() -> Report:
    pipeline = Pipeline(
        env_steps_per_s=2000.0,
        seconds=10.0,
        stages_ms={"env": 190.0, "inference": 90.0, "update": 150.0},
        outside_ms=30.0,
        idle_ms=20.0,
        outside_by_process_ms={"raylet": (30.0, 20.0)},
        threads_ms={"raylet/raylet": (10.0, 5.0)},
    )
    stages = {"env": stage(0.25), "inference": stage(0.15), "update": stage(0.4)}
    return Report("atari/pong_impala", backend(), 2, stages, pipeline, Wire(8510.0, 8500.0, 8721.0),
                  Overlap([1000.0], [1600.0], 1.6))  # fmt: skip


def test_the_json_holds_what_was_measured_and_what_follows_from_it():
    content = json.loads(json.dumps(to_json(report())))
    assert content["roofline_env_steps_per_s"] == 2500.0
    assert content["fraction_of_roofline"] == 0.8
    assert content["pipeline"]["overhead_ms"] == 10.0
    assert content["stages"]["env"] == {
        "ours_ms": 0.25, "plain_ms": 0.25, "ratio": 1.0, "ratio_low": 0.9, "ratio_high": 1.1,
    }  # fmt: skip
    assert content["overlap"]["ratio"] == 1.6
    assert {"cpu", "torch", "ray", "ale-py"} <= content["backend"].keys()


def test_the_tables_show_every_part():
    console = Console(width=200, file=io.StringIO())
    show(report(), console)
    shown = console.file.getvalue()
    for words in ("2,500 env steps/s", "80.0%", "difference", "rollout → replay", "8,721", "1.60", "raylet"):
        assert words in shown


def test_parts_left_out_are_not_measured(tmp_path):
    found = bench("pong", load_config("atari/pong_impala", SMALL), ("wire",), DURATIONS, tmp_path / "found.json")
    assert found.stages is None
    assert found.pipeline is None
    content = json.loads((tmp_path / "found.json").read_text())
    assert content["wire"]["rollout_to_replay"] == pytest.approx(found.wire.rollout_to_replay, rel=1e-4)
    assert content["fraction_of_roofline"] is None


def test_parts_are_measured_in_their_own_order():
    assert parse_parts("wire, stages") == ("stages", "wire")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bench", "--only", "stages,wires"], ["--only stages,wires", "'wires'", "choose from"]),
        (["bench", "classic/cartpole_impala"], ["env.backend", "atari/pong_impala"]),
        (["bench", "--env.frame_stack", "2"], ["env.frame_stack", "at 4"]),
        (["bench", "--run.torch_threads", "2"], ["run.torch_threads", "to 1"]),
        (["bench", "--stage-seconds", "0"], ["--stage-seconds", "from 1"]),
        (["bench", "--stage-seconds", "nan"], ["--stage-seconds", "from 1"]),
        (["bench", "--rounds", "0"], ["--rounds", "at least 1"]),
        (["bench", "--json", "/dev/null/found.json"], ["--json /dev/null/found.json", "Not a directory"]),
        (["bench", "--only", "pipeline", "--cluster.address", "auto"], ["cluster.address", "null"]),
        (["bench", "atari/pong_imapla"], ["atari/pong_imapla"]),
    ],
)
def test_a_mistake_is_answered_with_one_line_and_status_2(capsys, arguments, words):
    assert_refused(capsys, arguments, words)


def test_a_single_core_cannot_keep_another_busy(tmp_path):
    """A fresh process: what it may use is for its threads to keep."""
    program = (
        "import os, sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
        "from rl_platform.cli import main; sys.exit(main(['bench', '--only', 'stages']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=110)
    assert done.returncode == 2
    assert "second core" in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_run_over_ray_is_measured_from_inside():
    config = load_config("atari/pong_impala", [*SMALL, "--cluster.object_store_mb=80", "--run.eval=null"])
    found = measure_pipeline(config, seconds=3.0, warm_up_s=0.5)
    assert found.env_steps_per_s > 0
    assert all(ms > 0 for ms in found.stages_ms.values())
    assert found.outside_ms > found.idle_ms > 0
    hosts = {"driver", "raylet", "gcs_server", "ray::RolloutActor", "ray::LearnerActor", "ray::ReplayActor"}
    assert hosts <= found.outside_by_process_ms.keys()
    assert "raylet" not in {process.name for process in CpuWatch().look().values()}, "its Ray is still there"


def fail() -> None:
    raise ArithmeticError("as it must")


def refuse() -> None:
    raise InputError("mend it")


def test_a_measurement_that_fails_says_so_and_a_refusal_is_passed_on():
    with pytest.raises(RuntimeError, match="exit status 1"):
        run_apart(fail)
    with pytest.raises(InputError, match="mend it"):
        run_apart(refuse)


def test_a_measurement_apart_runs_on_its_core_and_leaves_no_process_behind():
    core = max(os.sched_getaffinity(0))
    before = CpuWatch().look().keys()
    assert run_apart(os.sched_getaffinity, 0, core=core) == {core}
    left = CpuWatch().look().keys() - before
    assert all("resource_tracker" in Path(f"/proc/{pid}/cmdline").read_text() for pid in left)
