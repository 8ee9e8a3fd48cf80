"""A run on a cluster of two nodes, each with an object store of its own."""

import json
import os
import subprocess
import time

import psutil
import pytest
from ray.cluster_utils import Cluster

from tests.runtime.launched import RAY, command

_NODE = {"num_cpus": 2, "object_store_memory": 80 * 2**20, "include_dashboard": False}


@pytest.fixture
def cluster():
    two_nodes = Cluster(initialize_head=True, head_node_args=_NODE)
    two_nodes.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    two_nodes.wait_for_nodes()
    yield two_nodes
    two_nodes.shutdown()


def nodes_of_rollout_actors() -> list[int]:
    """For each rollout actor below this process, its node: the process id of the raylet that started it."""
    family = psutil.Process(os.getpid()).children(recursive=True)
    return [child.ppid() for child in family if "ray::RolloutActor" in name_of(child)]


def name_of(process: psutil.Process) -> str:
    """What Ray calls the worker; empty once it has ended."""
    try:
        return "".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


@pytest.mark.slow
def test_a_run_with_actors_on_two_nodes_trains(tmp_path, cluster):
    """Learner and replay actor take one CPU, each of two rollout actors another: the first node has only two."""
    options = ["--actors.count=2", f"--cluster.address={cluster.address}", "--run.total_env_steps=4000"]
    process = subprocess.Popen(
        command(tmp_path, *RAY, *options), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    nodes: set[int] = set()
    while process.poll() is None:
        nodes |= set(nodes_of_rollout_actors())
        time.sleep(0.05)
    assert process.returncode == 0, process.stdout.read()
    assert len(nodes) == 2
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["status"] == "done"
    assert summary["env_steps"] >= 4000
    assert summary["actors_restarted"] == summary["unrolls_lost"] == 0
