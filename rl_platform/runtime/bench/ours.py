"""Our stages, ready to be called, and the plain workload that is the same work."""

from collections.abc import Callable

import numpy as np
import torch

from configs.schema import Config
from rl_platform.core.interfaces import VectorEnv
from rl_platform.core.precision import resolve_precision
from rl_platform.core.seeding import derive_seed, derive_seeds
from rl_platform.core.spec import EnvSpec
from rl_platform.core.types import Batch, Trajectory, Unroll
from rl_platform.runtime import build, build_envs
from rl_platform.runtime.bench.plain import Workload
from rl_platform.runtime.errors import InputError

_PLAIN_SHAPE = (4, 84, 84)


def check_comparable(config: Config) -> None:
    """InputError if there is no plain reference of this config's stages."""
    if config.env.backend != "ale" or config.model.encoder.kind != "nature_cnn":
        raise InputError("bench compares with plain Atari stages: choose a config with env.backend ale and "
                         "model.encoder.kind nature_cnn, such as atari/pong_impala")  # fmt: skip
    model = config.model
    if model.encoder.hidden or model.heads != "linear" or config.learner.rnd is not None:
        raise InputError("bench's plain stages are the Nature CNN with linear heads and no bonuses: leave "
                         "model.encoder.hidden, model.heads and learner.rnd out")  # fmt: skip
    shape = (config.env.frame_stack, config.env.image_size, config.env.image_size)
    if shape != _PLAIN_SHAPE:
        raise InputError(f"bench's plain stages see four frames of 84 × 84, not {shape}: leave env.frame_stack at 4 "
                         "and env.image_size at 84")  # fmt: skip
    one_thread = {"run.torch_threads": config.run.torch_threads, "env.threads": config.env.threads}
    for name, threads in one_thread.items():
        if threads != 1:
            raise InputError(f"bench gives every stage one thread: set {name} to 1, not {threads}")
    devices = {"actors.device": config.actors.device, "learner.device": config.learner.device,
               "replay.scorer.device": config.replay.scorer.device}  # fmt: skip
    for name, device in devices.items():
        if device == "cuda":
            raise InputError(f"bench measures stages on the CPU: set {name} to cpu")


def workload(config: Config, spec: EnvSpec) -> Workload:
    """The plain stages' share of the same work."""
    dtype = resolve_precision(config.model.precision, torch.device("cpu"), observation_dtype=spec.observation_dtype)
    return Workload(
        game=config.env.id,
        frame_skip=config.env.frame_skip,
        maxpool=config.env.maxpool,
        noop_max=config.env.noop_max,
        fire_reset=config.env.fire_reset,
        envs=config.actors.envs_per_actor,
        unroll_length=config.actors.unroll_length,
        columns=config.learner.batch_columns,
        num_actions=spec.action.size,
        precision="bf16" if dtype == torch.bfloat16 else "fp32",
    )


def env_seeds(config: Config) -> np.ndarray:
    """[N] int32, for ours and the plain environment alike: the same actions then play the same games."""
    return derive_seeds(config.run.seed, config.actors.envs_per_actor, "bench")


def env(config: Config) -> VectorEnv:
    """Our vector environment, started."""
    env = build_envs.make_env(config, env_seeds(config))
    env.reset()
    return env


def inference(config: Config, spec: EnvSpec) -> Callable[[], object]:
    """Actions for the observations of one vector environment."""
    num_envs = config.actors.envs_per_actor
    policy = build.make_policy(config, spec, seed=derive_seed(config.run.seed, "bench"))
    policy.load(build.make_learner(config, spec).weights())
    shape = (num_envs, *spec.observation_shape)
    observation = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    is_first, memory = np.zeros(num_envs, bool), policy.initial_memory(num_envs)
    return lambda: policy.act(observation, is_first, memory)


def update(config: Config, spec: EnvSpec) -> Callable[[], object]:
    """An update from a recorded batch: transfer, frame stacking, forward, backward, step."""
    learner, (_, batch) = build.make_learner(config, spec), recorded(config, spec)
    batch = batch._replace(steps=Trajectory(*map(_read_only_copy, batch.steps)))  # as Ray hands it to the learner
    return lambda: learner.update(batch)


def recorded(config: Config, spec: EnvSpec) -> tuple[Unroll, Batch]:
    """A real unroll, and a batch whose last columns come from it."""
    worker, shard = build.make_worker(config, 0, 0), build.make_shard(config, spec)
    weights = build.make_learner(config, spec).weights()
    while not shard.status().ready:
        unroll, _ = worker.collect(weights)
        shard.insert(unroll)
    batch = shard.next_batch(weights.version, weights)
    worker.close()
    assert batch is not None, "a batch was ready"
    return unroll, batch


def _read_only_copy(array: np.ndarray) -> np.ndarray:
    copy = np.array(array, order="C")
    copy.flags.writeable = False
    return copy
