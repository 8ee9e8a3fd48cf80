"""Which devices a run uses: what is refused, what Ray sets aside, and that the scorer sees what the actors saw."""

import os
import subprocess
import sys

import numpy as np
import pytest
import ray
import torch

from configs.errors import ConfigError
from configs.loader import load_config
from rl_platform.cli import main
from rl_platform.core.types import axes_swapped
from rl_platform.runtime import build, build_envs
from rl_platform.runtime.actor_factory import ActorFactory
from rl_platform.runtime.ray_cluster import Placement, _tell_of_unused_gpus, with_jemalloc
from rl_platform.runtime.run_log import log
from tests.gpu import needs_gpu

ELITE, INLINE = "classic/cartpole_elite", "--cluster.mode=inline"
ON_GPU, HALF = "--replay.scorer.device=cuda", "--replay.scorer.gpus=0.5"
RAY = ["--cluster.mode=ray", "--cluster.pipeline=serial"]


@pytest.mark.parametrize(
    ("name", "overrides", "said"),
    [
        (ELITE, [*RAY, ON_GPU], "replay.scorer.device cuda needs a GPU from Ray; set replay.scorer.gpus to 1"),
        (ELITE, [*RAY, HALF], "replay.scorer.gpus sets a GPU aside that replay.scorer.device cpu never uses"),
        (ELITE, [INLINE, ON_GPU, HALF], "replay.scorer.gpus is for Ray; set cluster.mode to ray"),
        (ELITE, [*RAY, ON_GPU, HALF, "--cluster.gpus_per_learner=0.6"],
         "cluster.gpus_per_learner 0.6 and replay.scorer.gpus 0.5 do not fit on one GPU"),
        ("classic/cartpole_uniform", [INLINE, ON_GPU], "replay.scorer.device cuda: no replay source compares features"),
    ],
)  # fmt: skip
def test_devices_that_make_no_sense_are_refused_with_the_remedy(name, overrides, said):
    with pytest.raises(ConfigError) as refused:
        load_config(name, overrides)
    assert said in str(refused.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_missing_gpu_is_noticed_before_anything_is_written(capsys, tmp_path):
    directory = tmp_path / "run"
    assert main(["train", ELITE, INLINE, ON_GPU, f"--run.dir={directory}"]) == 2
    assert capsys.readouterr().err == (
        "rl-platform: replay.scorer.device cuda: PyTorch finds no CUDA device here; set replay.scorer.device to cpu\n"
    )
    assert not directory.exists()


def test_explain_tells_of_the_scorer(capsys):
    assert main(["config", "--explain"]) == 0
    _, _, told = capsys.readouterr().out.partition("replay.scorer.device")
    assert "cpu | cuda" in told.partition("replay.scorer.gpus")[0]
    assert "logical GPUs" in told.partition("replay.scorer.gpus")[2].partition("replay.checkpoint")[0]


@pytest.fixture(scope="module")
def ray_with_two_gpus():
    """Ray believes what it is told; nothing here asks for CUDA."""
    ray.init(address="local", num_cpus=2, num_gpus=2, include_dashboard=False, object_store_memory=80 * 2**20,
             log_to_driver=False)  # fmt: skip
    yield
    ray.shutdown()


@pytest.mark.parametrize(("of_learner", "of_scorer"), [(0.5, 0.5), (1.0, 0.5)])
def test_ray_gives_the_replay_actor_its_part_of_a_gpu(ray_with_two_gpus, tmp_path, of_learner, of_scorer):
    """Its device is the CPU here, which no configuration may say."""
    config = load_config(ELITE, [*RAY, ON_GPU, f"--replay.scorer.gpus={of_scorer}", "--cluster.actor_cpus=0",
                                 f"--cluster.gpus_per_learner={of_learner}"])  # fmt: skip
    scorer = config.replay.scorer.model_copy(update={"device": "cpu"})
    config = config.model_copy(update={"replay": config.replay.model_copy(update={"scorer": scorer})})
    place = Placement(config)
    try:
        learner = Waits.options(num_gpus=of_learner, **place.beside_learner(0)).remote()
        shard = ActorFactory(config, build_envs.env_spec(config), place, tmp_path).shard(0)
        given = [ray.get(each.__ray_call__.remote(gpus_given), timeout=60) for each in (learner, shard)]
    finally:
        place.release()
    assert given == [of_learner, of_scorer]


@pytest.mark.parametrize(("name", "infers"), [(ELITE, True), ("classic/cartpole_uniform", False)])
def test_a_replay_actor_that_scores_has_the_allocator_and_the_threads_of_others_that_infer(
    ray_with_two_gpus, tmp_path, name, infers
):
    config = load_config(name, [*RAY, "--cluster.actor_cpus=0", "--run.torch_threads=3"])
    place = Placement(config)
    try:
        shard = ActorFactory(config, build_envs.env_spec(config), place, tmp_path).shard(0)
        ray.get(shard.exchange.remote(None, None), timeout=60)
        preloaded, threads = ray.get(shard.__ray_call__.remote(preloaded_and_threads), timeout=60)
    finally:
        place.release()
    assert ("jemalloc" in preloaded, threads) == (infers, 3)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts page faults as Linux does")
def test_the_learners_allocator_keeps_what_is_freed_and_others_give_it_back():
    """Twenty 64 MB tensors of 16,384 pages each, made and freed in turns once the heap has found its shape."""
    program = """
import resource, torch
for _ in range(20): torch.zeros(1 << 24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20): torch.zeros(1 << 24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    faults = []
    for options in (with_jemalloc(keep_freed=True), with_jemalloc()):
        variables = os.environ | options["runtime_env"]["env_vars"]
        answer = subprocess.run([sys.executable, "-c", program], capture_output=True, env=variables, check=True)
        faults.append(int(answer.stdout))
    assert faults[0] < 2 * 16_384 < faults[1]


@pytest.mark.parametrize(("overrides", "told"), [
    ([], True), (["--cluster.gpus_per_learner=1"], False), (["--learner.device=cpu"], False),
])  # fmt: skip
def test_gpus_that_no_learner_is_given_are_spoken_of(ray_with_two_gpus, caplog, overrides, told):
    with caplog.at_level("WARNING", logger=log.name):
        _tell_of_unused_gpus(load_config(ELITE, [*RAY, *overrides]))
    assert told == ("Ray has 2 GPUs, and cluster.gpus_per_learner 0 gives the learners none" in caplog.text)


@pytest.mark.parametrize(("overrides", "device"), [
    ([INLINE], "cuda"), ([INLINE, "--learner.device=cpu"], "cpu"),
    (RAY, "cpu"), ([*RAY, "--cluster.gpus_per_learner=0.5"], "cuda"),
])  # fmt: skip
def test_over_ray_a_learner_takes_no_gpu_that_nobody_set_aside_for_it(monkeypatch, overrides, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert build._learner_device(load_config(ELITE, overrides)) == device


@ray.remote
class Waits:
    """Stands where the learner would."""


def gpus_given(_) -> float:
    """What Ray says that this actor has, in whichever bundle."""
    resources = ray.get_runtime_context().get_assigned_resources()
    return max(amount for kind, amount in resources.items() if kind.startswith("GPU"))


def preloaded_and_threads(_) -> tuple[str, int]:
    """Libraries before all others in this process, and PyTorch's threads where batches are assembled."""
    return os.environ.get("LD_PRELOAD", ""), torch.get_num_threads()


@needs_gpu
@pytest.mark.parametrize("precision", ["auto", "fp32"])
@pytest.mark.parametrize(("acting", "scoring"), [("cpu", "cuda"), ("cuda", "cpu"), ("cuda", "cuda")])
def test_features_under_unmoved_weights_are_those_that_were_stored(acting, scoring, precision):
    """The scorer's numeric type is the acting device's. Convolutions on CUDA keep 10 bits (TF32), bfloat16 keeps 8."""
    config = load_config("atari/pong_elite", [
        INLINE, f"--actors.device={acting}", f"--replay.scorer.device={scoring}", f"--model.precision={precision}",
        "--actors.envs_per_actor=8",
    ])  # fmt: skip
    spec = build_envs.env_spec(config)
    weights, worker = build.make_learner(config, spec).weights(), build.make_worker(config, 0, 0)
    steps = worker.collect(weights)[0].steps
    worker.close()
    columns = axes_swapped(steps)
    scorer = build.make_shard(config, spec).sources[0]._choice.score.__self__
    present = scorer.features(weights, columns, np.arange(columns.action.shape[1]))
    np.testing.assert_allclose(present, columns.features, rtol=2e-2, atol=2e-2)
