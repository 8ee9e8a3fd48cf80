"""A run's metrics where Prometheus would read them: the metrics port of its Ray node."""

import math
import re
import signal
import time
import urllib.request

import pytest
import ray

from rl_platform.observability.metrics_file import read_rows
from rl_platform.observability.ray_metrics import RayMetrics, metric_name
from tests.runtime.launched import RAY, start

_SAMPLE = re.compile(r"ray_(rl_platform_\w+)\{(.*)\} (\S+)")


@pytest.fixture
def node():
    """A Ray that exports often, without a dashboard; its node."""
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=80 * 2**20,
        log_to_driver=False,
        _system_config={"metrics_report_interval_ms": 500},
    )
    yield ray.nodes()[0]
    ray.shutdown()


def scrape(node: dict) -> dict[tuple[str, str], float]:
    """Our series by (name, run), as Prometheus sees them; the last sample of each."""
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        samples = _SAMPLE.findall(answer.read().decode())
    return {(name, run_of(labels)): float(value) for name, labels, value in samples}


def run_of(labels: str) -> str:
    return re.search(r'\brun="([^"]*)"', labels)[1]


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("env_steps", "rl_platform_env_steps"),
        ("loss/policy_gradient", "rl_platform_loss_policy_gradient"),
        ("episode_return_mean/ALE/Pong-v5", "rl_platform_episode_return_mean_ALE_Pong_v5"),
    ],
)
def test_keys_become_names_that_prometheus_accepts(key, name):
    assert metric_name(key) == name
    assert re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", name)


def test_nothing_happens_without_ray():
    assert not ray.is_initialized()
    RayMetrics("somewhere").write({"env_steps": 1})


SANE = {
    "rl_platform_env_steps": (1, math.inf),
    "rl_platform_env_steps_per_s_recent": (1, 1e6),
    "rl_platform_learner_updates": (1, math.inf),
    "rl_platform_episode_return_mean": (1, 500),
    "rl_platform_queue_fill": (0, 1),
    "rl_platform_unrolls_lost": (0, 0),
}


def what_is_missing(shown: dict[tuple[str, str], float], run: str) -> dict[str, float]:
    """Of the series that every run has, those that are not there yet or not sane."""
    values = {name: shown.get((name, run), math.nan) for name in SANE}
    return {name: value for name, value in values.items() if not SANE[name][0] <= value <= SANE[name][1]}


@pytest.mark.slow
def test_a_run_is_seen_at_the_nodes_prometheus_endpoint(tmp_path, node):
    address = ray.get_runtime_context().gcs_address
    process = start(tmp_path, *RAY, f"--cluster.address={address}")
    try:
        give_up = time.monotonic() + 60
        while missing := what_is_missing(shown := scrape(node), str(tmp_path)):
            assert process.poll() is None, process.stdout.read()
            assert time.monotonic() < give_up, missing
            time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, output
    assert {run for _, run in shown} == {str(tmp_path)}
    ours = {name: value for (name, _), value in shown.items()}
    assert len(ours) >= 10
    rows = read_rows(tmp_path / "metrics.jsonl")
    assert set(ours) <= {metric_name(key) for row in rows for key in row}
    assert ours["rl_platform_env_steps"] <= rows[-1]["env_steps"]
    assert ours["rl_platform_learner_updates"] <= rows[-1]["learner_updates"]
