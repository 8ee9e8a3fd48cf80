"""Frozen plain references: what the stages of Pong training cost at the least on this machine, and the roofline.

Three stages, each in a process of its own with one compute thread, written with nothing but ale_py, numpy and torch:

    env        AtariVectorEnv, 32 games, random actions: ms per env step
    inference  Nature CNN, channels-last, forward on 32 observations: ms per observation
    update     the same network, forward + backward + RMSProp on 21 x 32 observations: ms per env step (20 x 32 of them)

`inference` and `update` run in bf16 (update: autocast, fp32 weights) and in fp32. A stage's cost is the median of its
iterations. The roofline is what a perfect pipeline could do: cores / (env + inference + update), in env steps per
second. `--other-core-busy` pins the stage to one core while a spinning process keeps another busy, as training does:
cores share power and caches, so that a stage alone on a machine looks cheaper than it is.

This file imports nothing of the project on purpose and must stay as it is: a slow stage cannot then raise the fraction
reached.

    python benchmarks/stages.py [--seconds 5] [--other-core-busy] [--cores 2]
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

NUM_ENVS = 32
UNROLL_LENGTH = 20
NUM_ACTIONS = 6
STAGES = ("env", "inference-bf16", "inference-fp32", "update-bf16", "update-fp32")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def median_ms(step: Callable[[], None], seconds: float) -> float:
    """Median wall-clock milliseconds of `step()` over `seconds`, after a fifth of that time to warm up."""
    durations: list[float] = []
    start = time.perf_counter()
    while (begin := time.perf_counter()) < start + 1.2 * seconds:
        step()
        if begin > start + 0.2 * seconds:
            durations.append(time.perf_counter() - begin)
    return 1e3 * statistics.median(durations)


def env_ms(seconds: float) -> float:
    """Milliseconds per env step of the raw vector environment (frame skip 4, 84 x 84 x 4, one C++ thread)."""
    import numpy as np
    from ale_py.vector_env import AtariVectorEnv

    env = AtariVectorEnv("pong", num_envs=NUM_ENVS, num_threads=1, reward_clipping=False)
    env.reset(seed=0)
    random = np.random.default_rng(0)
    cost = median_ms(lambda: env.step(random.integers(NUM_ACTIONS, size=NUM_ENVS)), seconds)
    env.close()
    return cost / NUM_ENVS


def nature_cnn():
    """Nature CNN (Mnih et al. 2015), channels-last, policy and value in one last layer: [B,4,84,84] → [B,actions+1]."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    convolutions = [
        nn.Conv2d(4, 32, 8, 4),
        nn.ReLU(),
        nn.Conv2d(32, 64, 4, 2),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3, 1),
        nn.ReLU(),
    ]
    heads = [nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, NUM_ACTIONS + 1)]
    return nn.Sequential(*convolutions, *heads).to(memory_format=torch.channels_last)


def inference_ms(precision: str, seconds: float) -> float:
    """Milliseconds per observation of a forward pass on 32 uint8 observations, conversion included."""
    import torch

    dtype = {"bf16": torch.bfloat16, "fp32": torch.float32}[precision]
    model = nature_cnn().to(dtype)
    observations = torch.randint(256, (NUM_ENVS, 4, 84, 84), dtype=torch.uint8)

    @torch.inference_mode()
    def forward() -> None:
        model(observations.to(dtype, memory_format=torch.channels_last).div_(255))

    return median_ms(forward, seconds) / NUM_ENVS


def update_ms(precision: str, seconds: float) -> float:
    """Milliseconds per env step of one actor-critic update; advantages and targets are given (no V-trace)."""
    import torch

    model = nature_cnn()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=6e-4, alpha=0.99, eps=0.01)
    observations = torch.randint(256, ((UNROLL_LENGTH + 1) * NUM_ENVS, 4, 84, 84), dtype=torch.uint8)
    actions = torch.randint(NUM_ACTIONS, (UNROLL_LENGTH * NUM_ENVS, 1))
    advantages, targets = torch.randn(2, UNROLL_LENGTH * NUM_ENVS)

    def update() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            outputs = model(observations.to(torch.float32, memory_format=torch.channels_last).div_(255))
        outputs = outputs[: UNROLL_LENGTH * NUM_ENVS].float()
        log_policy = outputs[:, :-1].log_softmax(-1)
        policy_loss = -(log_policy.gather(1, actions).squeeze(1) * advantages).mean()
        value_loss = 0.5 * (outputs[:, -1] - targets).square().mean()
        negative_entropy = (log_policy.exp() * log_policy).sum(-1).mean()
        optimizer.zero_grad()
        (policy_loss + 0.5 * value_loss + 0.01 * negative_entropy).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 40.0)
        optimizer.step()

    return median_ms(update, seconds) / (UNROLL_LENGTH * NUM_ENVS)


def measure(stage: str, seconds: float) -> float:
    """Cost of one stage in this process, on one thread."""
    name, _, precision = stage.partition("-")
    if name == "env":
        return env_ms(seconds)
    import torch

    torch.set_num_threads(1)
    return {"inference": inference_ms, "update": update_ms}[name](precision, seconds)


@contextlib.contextmanager
def other_core_busy(enabled: bool) -> Iterator[int | None]:
    """Keep one core spinning; yields the core that is left for the stage (None: no pinning)."""
    if not enabled:
        yield None
        return
    stage_core, busy_core = sorted(os.sched_getaffinity(0))[:2]
    spinner = subprocess.Popen(
        [sys.executable, "-c", f"import os; os.sched_setaffinity(0, {{{busy_core}}})\nwhile True: pass"]
    )
    try:
        yield stage_core
    finally:
        spinner.kill()
        spinner.wait()


def measure_in_child(stage: str, seconds: float, core: int | None) -> float:
    """Cost of one stage in a fresh process, pinned to `core` if given."""
    command = [sys.executable, __file__, "--stage", stage, "--seconds", str(seconds)]
    pin = None if core is None else lambda: os.sched_setaffinity(0, {core})
    child = subprocess.run(
        command, env=os.environ | ONE_THREAD, preexec_fn=pin, stdout=subprocess.PIPE, check=True, text=True
    )
    return float(child.stdout)


def roofline(costs: dict[str, float], precision: str, cores: int) -> int:
    """Env steps per second of `cores` that do nothing but the three stages, without ever waiting."""
    return round(1e3 * cores / (costs["env"] + costs[f"inference-{precision}"] + costs[f"update-{precision}"]))


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Plain stage costs of Pong training and the roofline.")
    parser.add_argument("--seconds", type=float, default=5.0, help="measuring time of each stage")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)), help="cores of the roofline")
    parser.add_argument("--other-core-busy", action="store_true", help="keep another core spinning meanwhile")
    parser.add_argument("--stage", choices=STAGES, help="measure this stage in this process and print its milliseconds")
    options = parser.parse_args()
    if options.other_core_busy and len(os.sched_getaffinity(0)) < 2:
        parser.error("--other-core-busy needs two cores")
    return options


def main() -> None:
    """Measure every stage in a child process and print one line of JSON."""
    options = parse_options()
    if options.stage:
        print(measure(options.stage, options.seconds))
        return
    with other_core_busy(options.other_core_busy) as core:
        costs = {stage: measure_in_child(stage, options.seconds, core) for stage in STAGES}
    report = {
        "ms": {stage: round(cost, 4) for stage, cost in costs.items()},
        "cores": options.cores,
        "other_core_busy": options.other_core_busy,
        "roofline_env_steps_per_s": {name: roofline(costs, name, options.cores) for name in ("bf16", "fp32")},
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
