"""Baseline: RLlib 2.60 IMPALA (new API stack, PyTorch, fp32) training on real ALE Pong, set up as well as its public API allows.

The work is that of `configs/atari/pong_impala.yaml`: Nature CNN with one shared 512-unit layer and linear policy and value heads, 84 x 84 x 4
uint8 observations divided by 255, frame skip 4, unrolls of 20 steps, batches of 640 steps, 32 environments, RMSProp 6e-4, gradient clip 40,
entropy 0.01, value 0.5, one torch thread in each process.

@SETTINGS@

Env steps *trained* are counted where the loss is computed, as the sum of RLlib's loss mask, and timed there by the operating system's
monotonic clock: RLlib's own `num_env_steps_trained_lifetime` counts the artificial bootstrap step of every fragment (672 for 640).
Env steps *sampled* are RLlib's count over the driver's clock.

    python benchmarks/rllib_impala.py --env-runners 1 --seconds 60 --warmup 15
"""

import argparse
import json
import os
import time
from typing import Any

os.environ |= {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}

import gymnasium
import ray
import torch
from ale_py.vector_env import AtariVectorEnv
from ray.rllib.algorithms.impala import IMPALAConfig
from ray.rllib.algorithms.impala.torch.impala_torch_learner import IMPALATorchLearner
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import ValueFunctionAPI
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.tune.registry import register_env
from torch import nn

NUM_ENVS = 32
UNROLL_LENGTH = 20
ENV_NAME = "pong-vector"


class NatureModule(TorchRLModule, ValueFunctionAPI):
    """Nature CNN shared by a linear policy and a linear value head; channels-last, uint8 until the first convolution."""

    def setup(self) -> None:
        convolutions = [
            nn.Conv2d(4, 32, 8, 4),
            nn.ReLU(),
            nn.Conv2d(32, 64, 4, 2),
            nn.ReLU(),
            nn.Conv2d(64, 64, 3, 1),
            nn.ReLU(),
        ]
        self.encoder = nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(3136, 512), nn.ReLU()).to(
            memory_format=torch.channels_last
        )
        self.policy = nn.Linear(512, self.action_space.n)
        self.value = nn.Linear(512, 1)

    def _embed(self, batch: dict[str, Any]) -> torch.Tensor:
        return self.encoder(batch[Columns.OBS].to(torch.float32, memory_format=torch.channels_last).div_(255))

    def _forward(self, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {Columns.ACTION_DIST_INPUTS: self.policy(self._embed(batch))}

    def _forward_train(self, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
        embeddings = self._embed(batch)
        return {Columns.ACTION_DIST_INPUTS: self.policy(embeddings), Columns.EMBEDDINGS: embeddings}

    def compute_values(self, batch: dict[str, Any], embeddings: torch.Tensor | None = None) -> torch.Tensor:
        return self.value(self._embed(batch) if embeddings is None else embeddings).squeeze(-1)


class RMSPropLearner(IMPALATorchLearner):
    """RLlib's learner with RMSProp, counting the env steps of every loss it computes and the seconds between them."""

    _last_loss_s: float | None = None

    def configure_optimizers_for_module(self, module_id, config=None) -> None:
        parameters = self.get_parameters(self.module[module_id])
        optimizer = torch.optim.RMSprop(parameters, lr=config.lr, alpha=0.99, eps=0.01)
        self.register_optimizer(
            module_id=module_id, optimizer=optimizer, params=parameters, lr_or_lr_schedule=config.lr
        )

    def compute_loss_for_module(self, *, module_id, config, batch, fwd_out) -> torch.Tensor:
        now = time.monotonic()
        elapsed = now - (self._last_loss_s or now)
        self._last_loss_s = now
        counts = {
            "updates_counted": 1,
            "env_steps_counted": int(batch[Columns.LOSS_MASK].sum()),
            "seconds_counted": elapsed,
        }
        for name, count in counts.items():
            self.metrics.log_value((module_id, name), count, reduce="lifetime_sum")
        return super().compute_loss_for_module(module_id=module_id, config=config, batch=batch, fwd_out=fwd_out)


class WithoutInfos(gymnasium.vector.VectorWrapper):
    """Drops the infos, which RLlib would otherwise split into 32 dicts at every step and store."""

    def reset(self, *, seed=None, options=None):
        return self.env.reset(seed=seed, options=options)[0], {}

    def step(self, actions):
        *transition, _ = self.env.step(actions)
        return *transition, {}


def make_pong(settings: dict[str, Any]) -> gymnasium.vector.VectorEnv:
    """ALE's own C++ vector environment, one thread (frame skip 4, 84 x 84 x 4 uint8, rewards clipped)."""
    return WithoutInfos(AtariVectorEnv("pong", num_envs=settings["num_envs"], num_threads=1))


def impala_config(options: argparse.Namespace) -> IMPALAConfig:
    """The RLlib configuration of the module's docstring."""
    return (
        IMPALAConfig()
        .environment(ENV_NAME)
        .rl_module(rl_module_spec=RLModuleSpec(module_class=NatureModule))
        .env_runners(
            num_env_runners=options.env_runners,
            num_envs_per_env_runner=NUM_ENVS // options.env_runners,
            gym_env_vectorize_mode="vector_entry_point",
            rollout_fragment_length=UNROLL_LENGTH,
            max_requests_in_flight_per_env_runner=options.requests_in_flight,
            create_local_env_runner=False,
        )
        .learners(
            num_learners=options.learners, num_aggregator_actors_per_learner=options.aggregators, num_cpus_per_learner=1
        )
        .training(
            learner_class=RMSPropLearner,
            train_batch_size_per_learner=NUM_ENVS * UNROLL_LENGTH,
            lr=6e-4,
            entropy_coeff=0.01,
            vf_loss_coeff=0.5,
            grad_clip=40.0,
            broadcast_interval=options.broadcast_interval,
            timeout_s_sampler_manager=options.sampler_timeout_s,
        )
        .reporting(min_time_s_per_iteration=2)
        .debugging(log_level="ERROR")
    )


def counters(algorithm) -> dict[str, float]:
    """Train for one RLlib iteration (two seconds) and read the lifetime counters."""
    result = algorithm.train()
    learner = result.get("learners", {}).get(DEFAULT_MODULE_ID, {})
    counted = {name: learner.get(f"{name}_counted", 0) for name in ("updates", "env_steps", "seconds")}
    return counted | {
        "sampled": result["env_runners"].get("num_env_steps_sampled_lifetime", 0),
        "clock_s": time.monotonic(),
    }


def measure(algorithm, warmup_s: float, seconds: float) -> dict[str, float]:
    """Differences of the counters over `seconds` of steady state, after `warmup_s` and at least three updates."""
    start = time.monotonic()
    while (first := counters(algorithm))["clock_s"] < start + warmup_s or first["updates"] < 3:
        continue
    while (last := counters(algorithm))["clock_s"] < first["clock_s"] + seconds:
        continue
    return {name: last[name] - first[name] for name in first}


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env-runners", type=int, choices=(1, 2), default=1)
    parser.add_argument("--seconds", type=float, default=60.0, help="measuring time, in steady state")
    parser.add_argument("--warmup", type=float, default=15.0, help="seconds of training before it")
    parser.add_argument("--learners", type=int, choices=(0, 1), default=1, help="0: the learner runs in the driver")
    parser.add_argument("--aggregators", type=int, default=0, help="actors that build batches (RLlib's default 0)")
    parser.add_argument(
        "--requests-in-flight", type=int, default=1, help="sample calls queued at an env runner (RLlib's default 1)"
    )
    parser.add_argument(
        "--broadcast-interval", type=int, default=1, help="updates between weight broadcasts (RLlib's default 1)"
    )
    parser.add_argument(
        "--sampler-timeout-s",
        type=float,
        default=0.5,
        help="how long the driver waits for samples; RLlib's default 0.0 spins",
    )
    return parser.parse_args()


def main() -> None:
    options = parse_options()
    ray.init(num_cpus=8, object_store_memory=10**9, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        register_env(ENV_NAME, make_pong)
        algorithm = impala_config(options).build_algo()
        try:
            measured = measure(algorithm, options.warmup, options.seconds)
        finally:
            algorithm.stop()
    finally:
        ray.shutdown()
    report = {
        "system": f"rllib {ray.__version__} IMPALA",
        "env_steps_per_s": round(measured["env_steps"] / measured["seconds"], 1),
        "env_steps_sampled_per_s": round(measured["sampled"] / measured["clock_s"], 1),
        "env_steps": int(measured["env_steps"]),
        "seconds": round(measured["seconds"], 2),
        "updates": int(measured["updates"]),
        "settings": vars(options),
    }
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
