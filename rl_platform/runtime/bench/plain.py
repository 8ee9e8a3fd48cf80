"""Frozen plain references: the same work as our stages, written with nothing but ale_py, numpy and torch.

    env        AtariVectorEnv alone
    inference  Nature CNN, channels-last, forward on the observations of one vector environment
    update     the same network, forward + backward + clip + RMSProp on (T + 1) × columns observations; advantages and
               targets are given (no V-trace)

This file imports nothing of the project on purpose and must stay as it is: a slow stage of ours cannot then raise the
fraction that we reach.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import torch
from ale_py.vector_env import AtariVectorEnv
from torch import nn


class Workload(NamedTuple):
    """How much work a stage does at once."""

    game: str
    frame_skip: int
    maxpool: bool
    noop_max: int
    fire_reset: bool
    envs: int
    """Environments stepped together, and observations in one forward pass."""
    unroll_length: int
    columns: int
    """Columns of a batch."""
    num_actions: int
    precision: Literal["bf16", "fp32"]


def env_step(work: Workload, seeds: np.ndarray) -> Callable[[np.ndarray], object]:
    """A step of the raw vector environment with actions [N]: 84 × 84 × 4, one C++ thread, started from `seeds` [N]."""
    env = AtariVectorEnv(
        work.game, work.envs, num_threads=1, frameskip=work.frame_skip, maxpool=work.maxpool, noop_max=work.noop_max,
        use_fire_reset=work.fire_reset, reward_clipping=False,
    )  # fmt: skip
    env.reset(seed=seeds)
    return env.step


def nature_cnn(num_outputs: int) -> nn.Sequential:
    """Nature CNN (Mnih et al. 2015), channels-last, policy and value in one last layer: [B,4,84,84] → [B,outputs]."""
    torch.manual_seed(0)
    convolutions = [
        nn.Conv2d(4, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(), nn.Conv2d(64, 64, 3, 1), nn.ReLU(),
    ]  # fmt: skip
    heads = [nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, num_outputs)]
    return nn.Sequential(*convolutions, *heads).to(memory_format=torch.channels_last)


def inference(work: Workload) -> Callable[[], None]:
    """A forward pass on uint8 observations [N,4,84,84], conversion included."""
    dtype = {"bf16": torch.bfloat16, "fp32": torch.float32}[work.precision]
    model = nature_cnn(work.num_actions + 1).to(dtype)
    observations = torch.randint(256, (work.envs, 4, 84, 84), dtype=torch.uint8)

    @torch.inference_mode()
    def forward() -> None:
        model(observations.to(dtype, memory_format=torch.channels_last).div_(255))

    return forward


def update(work: Workload) -> Callable[[], None]:
    """One actor-critic update on uint8 observations [(T+1)·B,4,84,84]; bf16 is autocast over float32 weights."""
    num_steps = work.unroll_length * work.columns
    model = nature_cnn(work.num_actions + 1)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=6e-4, alpha=0.99, eps=0.01)
    observations = torch.randint(256, (num_steps + work.columns, 4, 84, 84), dtype=torch.uint8)
    actions = torch.randint(work.num_actions, (num_steps, 1))
    advantages, targets = torch.randn(2, num_steps)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=work.precision == "bf16"):
            outputs = model(observations.to(torch.float32, memory_format=torch.channels_last).div_(255))
        outputs = outputs[:num_steps].float()
        log_policy = outputs[:, :-1].log_softmax(-1)
        policy_loss = -(log_policy.gather(1, actions).squeeze(1) * advantages).mean()
        value_loss = 0.5 * (outputs[:, -1] - targets).square().mean()
        negative_entropy = (log_policy.exp() * log_policy).sum(-1).mean()
        optimizer.zero_grad()
        (policy_loss + 0.5 * value_loss + 0.01 * negative_entropy).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 40.0)
        optimizer.step()

    return step
