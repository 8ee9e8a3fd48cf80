"""Baseline: RLlib 2.60 IMPALA (new API stack, PyTorch, fp32) on real ALE Pong, training included, set up as well as
RLlib's public API allows.

The work is that of `configs/atari/pong_impala.yaml`: Nature CNN with one shared layer of 512 units, linear policy and
value heads, 84 x 84 x 4 uint8 observations divided by 255, frame skip 4, unrolls of 20 steps, batches of 640 steps, 32
environments, RMSProp 6e-4, gradient clip 40, entropy 0.01, value 0.5, one torch thread in each process.

Settings tried, as env steps trained per second (medians of three alternations of 20 s; lowest–highest). Two cores of an
AMD EPYC (Zen 5) that other processes used at the same time, so the numbers rank the settings and say no more:

    env runners  learner                        broadcast every  driver waits 0.5 s   driver spins (RLlib's default)
    1            one actor, one aggregator      update           1,443 (1,399–1,520)  -
    1            one actor, no aggregator       update           1,346 (747–1,504)    386 (355–566)
    1            one actor, no aggregator       5 updates        1,158 (734–1,465)    -
    1            in the driver                  update           977 (678–1,495)      -
    2            in the driver                  update           1,379 (771–1,379)    -
    2            one actor, no aggregator       update           933 (888–1,029)      208 (130–390)

The best row for each number of env runners is this script's default. Waiting (`timeout_s_sampler_manager`) matters
most: with RLlib's 0.0 the driver polls without pause, which takes a core from the rest. Two env runners beside a
learner actor sample more than it can train on (1,540 env steps/s, of which RLlib drops 40 %). In single runs, by env
steps trained per CPU second: ALE's vector environment without infos (kept here) 720, with infos 750; gymnasium's
AtariPreprocessing and FrameStackObservation (uint8) under `gym_env_vectorize_mode="sync"` 700; two sample calls in
flight 730; contiguous instead of channels-last 440 (its learner falls behind and RLlib drops batches).

Env steps *trained* are counted where the loss is computed, as the sum of RLlib's loss mask, and timed there by the
system's monotonic clock. RLlib's own `num_env_steps_trained_lifetime` counts the artificial bootstrap step of every
fragment too (672 for 640). Env steps *sampled* are RLlib's count over the driver's clock: more than trained where RLlib
drops batches that its learner has no room for.

    python benchmarks/rllib_impala.py --env-runners 1 --seconds 60 --warmup 15
"""

import argparse
import json
import os
import shutil
import time
from typing import Any

import gymnasium
import ray
import torch
from ale_py.vector_env import AtariVectorEnv
from ray.rllib.algorithms.impala import IMPALA, IMPALAConfig
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
BEST_LEARNER = {1: {"learners": 1, "aggregators": 1}, 2: {"learners": 0, "aggregators": 0}}  # by env runners
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class NatureModule(TorchRLModule, ValueFunctionAPI):
    """Nature CNN shared by a linear policy and a linear value head; channels-last, uint8 until the first layer."""

    def setup(self) -> None:
        """Build the layers (RLlib calls this in place of a constructor)."""
        convolutions = [nn.Conv2d(4, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(), nn.Conv2d(64, 64, 3, 1)]
        embedding = [nn.ReLU(), nn.Flatten(), nn.Linear(3136, 512), nn.ReLU()]
        self.encoder = nn.Sequential(*convolutions, *embedding).to(memory_format=torch.channels_last)
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
        """Values [B]; the learner passes the embeddings of `_forward_train`."""
        return self.value(self._embed(batch) if embeddings is None else embeddings).squeeze(-1)


class RMSPropLearner(IMPALATorchLearner):
    """RLlib's learner with RMSProp, counting the env steps of every loss it computes and the seconds between them."""

    _last_loss_s: float | None = None

    def configure_optimizers_for_module(self, module_id, config=None) -> None:
        """RMSProp in place of RLlib's Adam."""
        parameters = self.get_parameters(self.module[module_id])
        optimizer = torch.optim.RMSprop(parameters, lr=config.lr, alpha=0.99, eps=0.01)
        self.register_optimizer(
            module_id=module_id, optimizer=optimizer, params=parameters, lr_or_lr_schedule=config.lr
        )

    def compute_loss_for_module(self, *, module_id, config, batch, fwd_out) -> torch.Tensor:
        """RLlib's loss; counts as it passes."""
        now = time.monotonic()
        elapsed = 0.0 if self._last_loss_s is None else now - self._last_loss_s
        self._last_loss_s = now
        counts = {"updates": 1, "env_steps": int(batch[Columns.LOSS_MASK].sum()), "seconds": elapsed}
        for name, count in counts.items():
            self.metrics.log_value((module_id, f"counted_{name}"), count, reduce="lifetime_sum")
        return super().compute_loss_for_module(module_id=module_id, config=config, batch=batch, fwd_out=fwd_out)


class WithoutInfos(gymnasium.vector.VectorWrapper):
    """Drops the infos, which RLlib would otherwise split into 32 dicts at every step and store."""

    def reset(self, *, seed=None, options=None):
        """Observations and an empty info."""
        return self.env.reset(seed=seed, options=options)[0], {}

    def step(self, actions):
        """The transition and an empty info."""
        *transition, _ = self.env.step(actions)
        return *transition, {}


def make_pong(settings: dict[str, Any]) -> gymnasium.vector.VectorEnv:
    """ALE's own C++ vector environment on one thread (84 x 84 x 4 uint8, frame skip 4, rewards clipped)."""
    return WithoutInfos(AtariVectorEnv("pong", num_envs=settings["num_envs"], num_threads=1))


def impala_config(options: argparse.Namespace) -> IMPALAConfig:
    """The RLlib configuration that the module's docstring describes."""
    config = IMPALAConfig().environment(ENV_NAME).rl_module(rl_module_spec=RLModuleSpec(module_class=NatureModule))
    config.env_runners(
        num_env_runners=options.env_runners,
        num_envs_per_env_runner=NUM_ENVS // options.env_runners,
        gym_env_vectorize_mode="vector_entry_point",
        rollout_fragment_length=UNROLL_LENGTH,
        create_local_env_runner=False,
    )
    config.learners(num_learners=options.learners, num_aggregator_actors_per_learner=options.aggregators)
    config.training(
        learner_class=RMSPropLearner,
        train_batch_size_per_learner=NUM_ENVS * UNROLL_LENGTH,
        lr=6e-4,
        entropy_coeff=0.01,
        vf_loss_coeff=0.5,
        grad_clip=40.0,
        broadcast_interval=options.broadcast_interval,
        timeout_s_sampler_manager=options.sampler_timeout_s,
    )
    return config.reporting(min_time_s_per_iteration=2).debugging(log_level="ERROR")


def counters(algorithm: IMPALA) -> dict[str, float]:
    """Train for one RLlib iteration (two seconds), then read the counters of the whole run."""
    result = algorithm.train()
    learner = result.get("learners", {}).get(DEFAULT_MODULE_ID, {})
    counted = {name: learner.get(f"counted_{name}", 0) for name in ("updates", "env_steps", "seconds")}
    return counted | {
        "sampled": result["env_runners"].get("num_env_steps_sampled_lifetime", 0),
        "clock_s": time.monotonic(),
    }


def measure(algorithm: IMPALA, warmup_s: float, seconds: float) -> dict[str, float]:
    """What the counters gained in `seconds` of steady state, after `warmup_s` and at least three updates."""
    first = counters(algorithm)
    warm_at = first["clock_s"] + warmup_s
    while first["clock_s"] < warm_at or first["updates"] < 3:
        first = counters(algorithm)
    last = first
    while last["clock_s"] < first["clock_s"] + seconds:
        last = counters(algorithm)
    return {name: last[name] - first[name] for name in first}


def measured_run(options: argparse.Namespace) -> dict[str, float]:
    """Start Ray and the algorithm, measure, and end both."""
    os.environ.update(ONE_THREAD)  # Ray's processes inherit it
    torch.set_num_threads(1)  # for a learner in this process
    ray.init(num_cpus=8, object_store_memory=10**9, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        register_env(ENV_NAME, make_pong)
        algorithm = impala_config(options).build_algo()
        try:
            return measure(algorithm, options.warmup, options.seconds)
        finally:
            algorithm.stop()
            shutil.rmtree(algorithm.logdir)  # RLlib makes an empty folder in ~/ray_results
    finally:
        ray.shutdown()


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="RLlib's IMPALA on Pong: env steps trained per second.")
    parser.add_argument("--env-runners", type=int, choices=(1, 2), default=1)
    parser.add_argument("--seconds", type=float, default=60.0, help="measuring time, in steady state")
    parser.add_argument("--warmup", type=float, default=15.0, help="seconds of training before it")
    parser.add_argument("--learners", type=int, choices=(0, 1), help="0: in the driver; RLlib's default: 1")
    parser.add_argument("--aggregators", type=int, help="actors that build batches; RLlib's default: 0")
    parser.add_argument("--broadcast-interval", type=int, default=1, help="updates between weights; RLlib's default: 1")
    parser.add_argument(
        "--sampler-timeout-s",
        type=float,
        default=0.5,
        help="how long the driver waits for samples; RLlib's default, 0.0, keeps a core spinning",
    )
    options = parser.parse_args()
    for name, best in BEST_LEARNER[options.env_runners].items():
        setattr(options, name, best if getattr(options, name) is None else getattr(options, name))
    return options


def main() -> None:
    """Measure and print one line of JSON."""
    options = parse_options()
    gained = measured_run(options)
    report = {
        "system": f"rllib {ray.__version__} IMPALA",
        "env_steps_per_s": round(gained["env_steps"] / gained["seconds"], 1),
        "env_steps_sampled_per_s": round(gained["sampled"] / gained["clock_s"], 1),
        "env_steps": int(gained["env_steps"]),
        "seconds": round(gained["seconds"], 2),
        "updates": int(gained["updates"]),
        "settings": vars(options),
    }
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
