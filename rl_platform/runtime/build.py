"""From a config to finished parts: the only place that reads the whole of it."""

from typing import Protocol

import numpy as np
import torch

from actors.envs.ale import AleVectorEnv
from actors.envs.ale_screen import AleScreen
from actors.envs.gymnasium_env import GymnasiumScreen, GymnasiumVectorEnv
from actors.policy import TorchPolicy
from actors.rollout_worker import RolloutWorker
from configs.learner import Adam, Rmsprop
from configs.schedule import ScheduleConfig
from configs.schema import Config
from learners.learner import Learner
from learners.objective import VtraceSettings
from learners.optimizer import OptimizerFactory, adam, rmsprop
from learners.ranks import ONE_RANK, Ranks
from models.actor_critic import ActorCritic
from models.build import build_actor_critic
from replay.queue import QueueSource
from replay.shard import ReplayShard
from rl_platform.core.distributions import distribution_of
from rl_platform.core.interfaces import VectorEnv
from rl_platform.core.precision import resolve_precision
from rl_platform.core.schedule import Schedule
from rl_platform.core.seeding import derive_seed, derive_seeds
from rl_platform.core.spec import EnvSpec
from rl_platform.runtime.throttle import Throttle


class Screen(Protocol):
    """Shows a person the first of N environments."""

    def picture(self) -> np.ndarray:
        """[H, W, 3] uint8."""

    def step(self, action: np.ndarray) -> None:
        """The environments were given these actions [N]."""


def env_spec(config: Config) -> EnvSpec:
    """What the config's environment looks like, read off one that is made and closed again."""
    env = make_env(config, derive_seeds(config.run.seed, 1, "spec"))
    env.close()
    return env.spec


def make_env(config: Config, seeds: np.ndarray, *, render: bool = False) -> VectorEnv:
    """One environment for each seed; `render` for those that must be told beforehand that they will be shown."""
    settings = config.env.model_dump(exclude={"backend", "id"})
    if config.env.backend == "ale":
        return AleVectorEnv(game=config.env.id, seeds=seeds, **settings)
    if render:
        settings["kwargs"] = {**settings["kwargs"], "render_mode": "rgb_array"}
    return GymnasiumVectorEnv(env_id=config.env.id, seeds=seeds, **settings)


def make_screen(config: Config, env: VectorEnv, seeds: np.ndarray) -> Screen:
    """What shows the first of the environments that `make_env` made with these seeds and `render`."""
    if config.env.backend == "ale":
        unseen = {"backend", "id", "frame_stack", "image_size", "maxpool", "life_loss_terminates", "threads"}
        return AleScreen(game=config.env.id, seed=int(seeds[0]), **config.env.model_dump(exclude=unseen))
    return GymnasiumScreen(env)


def make_learner(config: Config, spec: EnvSpec, ranks: Ranks = ONE_RANK) -> Learner:
    """The learner, with freshly initialised weights; one of several `ranks`, or on its own."""
    settings = config.learner
    device = torch.device(_learner_device(config))
    return Learner(
        make_network(config, spec),
        distribution_of(spec.action),
        VtraceSettings(
            discount=settings.discount,
            trace_decay=settings.trace_decay,
            rho_clip=settings.rho_clip,
            c_clip=settings.c_clip,
            pg_rho_clip=settings.pg_rho_clip,
            reduction=settings.reduction,
            reward_transform=settings.reward_transform,
            normalize_advantages=settings.normalize_advantages,
            value_weight=settings.terms.value,
        ),
        optimizer=_optimizer(settings.optimizer),
        learning_rate=_schedule(settings.optimizer.learning_rate),
        entropy_weight=_schedule(settings.terms.entropy),
        gradient_clip=settings.gradient_clip,
        frame_stack=spec.frame_stack,
        precision=_precision(config, spec, device),
        device=device,
        ranks=ranks,
    )


def make_policy(config: Config, spec: EnvSpec, *, seed: int) -> TorchPolicy:
    """A policy with a network of its own, still without weights."""
    device = torch.device(config.actors.device)
    return TorchPolicy(
        make_network(config, spec),
        distribution_of(spec.action),
        torch.Generator(device).manual_seed(seed),
        precision=_precision(config, spec, device),
        device=device,
    )


def make_worker(config: Config, actor: int, incarnation: int) -> RolloutWorker:
    """A rollout worker; its random numbers are those of this actor and this incarnation alone."""
    seed, num_envs = config.run.seed, config.actors.envs_per_actor
    env = make_env(config, derive_seeds(seed, num_envs, "env", actor, incarnation))
    return RolloutWorker(
        env,
        make_policy(config, env.spec, seed=derive_seed(seed, "policy", actor, incarnation)),
        unroll_length=config.actors.unroll_length,
        num_params=distribution_of(env.spec.action).num_params,
        num_values=1,
        actor=actor,
        incarnation=incarnation,
        task=np.zeros(num_envs, np.int32),
    )


def make_shard(config: Config) -> ReplayShard:
    """The replay shard of one learner."""
    source = config.replay.sources[0]
    queue = QueueSource(source.capacity, overflow=source.overflow, max_policy_lag=config.actors.max_policy_lag)
    return ReplayShard(queue, batch_columns=config.learner.batch_columns)


def throttle(config: Config) -> Throttle:
    """The limits within which the shard's feeder collects."""
    source = config.replay.sources[0]
    return Throttle(
        batch_columns=config.learner.batch_columns,
        unroll_columns=config.actors.envs_per_actor,
        max_policy_lag=config.actors.max_policy_lag,
        capacity=source.capacity if source.overflow == "block" else None,
    )


def make_network(config: Config, spec: EnvSpec) -> ActorCritic:
    """The network, freshly initialised, on the CPU."""
    seed = derive_seed(config.run.seed, "network")
    return build_actor_critic(spec, encoder=config.model.encoder.model_dump(), seed=seed)


def _learner_device(config: Config) -> str:
    if config.learner.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return config.learner.device


def _precision(config: Config, spec: EnvSpec, device: torch.device) -> torch.dtype:
    return resolve_precision(config.model.precision, device, observation_dtype=spec.observation_dtype)


def _optimizer(settings: Rmsprop | Adam) -> OptimizerFactory:
    keywords = settings.model_dump(exclude={"kind", "learning_rate"})
    return {"rmsprop": rmsprop, "adam": adam}[settings.kind](**keywords)


def _schedule(settings: ScheduleConfig) -> Schedule:
    if settings.final is None:
        return Schedule(settings.initial)
    return Schedule(settings.initial, settings.final, settings.over_env_steps)
