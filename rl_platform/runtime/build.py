"""From a config to finished parts: the only place that reads the whole of it."""

from pathlib import Path

import numpy as np
import torch

from actors.policy import TorchPolicy
from actors.rollout_worker import RolloutWorker
from configs.learner import Adam, LearnerConfig, Rmsprop
from configs.replay_checks import columns_of
from configs.schedule import ScheduleConfig
from configs.schema import Config
from learners.learner import Learner
from learners.optimizer import OptimizerFactory, adam, rmsprop
from learners.ranks import ONE_RANK, Ranks
from learners.relevance import Relevance
from learners.settings import ImpactSettings, LearnerSettings
from models.actor_critic import ActorCritic
from models.build import build_actor_critic
from models.features import CurrentFeatures, FeatureView, Projection, trunk_activations
from replay.contents import ReplayContents
from replay.queue import QueueSource
from replay.shard import ReplayShard
from rl_platform.core.acting import ActingNetwork
from rl_platform.core.distributions import distribution_of
from rl_platform.core.precision import resolve_precision
from rl_platform.core.schedule import Schedule
from rl_platform.core.seeding import derive_seed, derive_seeds
from rl_platform.core.spec import EnvSpec
from rl_platform.runtime.build_envs import make_env
from rl_platform.runtime.build_exploration import make_rnd, rnd_settings
from rl_platform.runtime.build_replay import compares_features, make_sources
from rl_platform.runtime.replay_states import rank_name
from rl_platform.runtime.throttle import Throttle


def make_learner(config: Config, spec: EnvSpec, ranks: Ranks = ONE_RANK) -> Learner:
    """The learner, with freshly initialised weights; one of several `ranks`, or on its own."""
    settings = config.learner
    device = torch.device(_learner_device(config))
    network = make_network(config, spec)
    return Learner(
        network,
        distribution_of(spec.action),
        _learner_settings(settings),
        optimizer=_optimizer(settings.optimizer),
        learning_rate=_schedule(settings.optimizer.learning_rate),
        entropy_weight=_schedule(settings.terms.entropy),
        gradient_clip=settings.gradient_clip,
        frame_stack=spec.frame_stack,
        precision=_precision(config, spec, device),
        device=device,
        ranks=ranks,
        seed=derive_seed(config.run.seed, "minibatches"),
        rnd=make_rnd(config, spec, network, device, ranks),
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
        features=_feature_view(config, device),
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
        num_values=num_value_heads(config),
        num_features=num_features(config),
        actor=actor,
        incarnation=incarnation,
        task=np.zeros(num_envs, np.int32),
    )


def make_shard(config: Config, spec: EnvSpec, rank: int = 0) -> ReplayShard:
    """The replay shard of a learner rank."""
    queue = config.replay.sources[0]
    count = len(config.replay.sources) - 1
    generators = [np.random.default_rng(derive_seed(config.run.seed, "replay", rank, index)) for index in range(count)]
    return ReplayShard(
        QueueSource(queue.capacity, overflow=queue.overflow, max_policy_lag=config.actors.max_policy_lag),
        make_sources(config.replay, _current_features(config, spec), generators),
        batch_columns=config.learner.batch_columns,
        max_columns=config.learner.max_columns,
    )


def make_contents(config: Config, directory: Path, rank: int = 0) -> ReplayContents:
    """What saves and loads the replay sources of a learner rank; their columns only if the config says so.

    The first rank's clears what ranks have left that are no more, or do not keep their columns any more.
    """
    root = directory.absolute() / "replay"  # a replay actor may have another working directory
    keeping = {rank_name(each) for each in range(config.cluster.num_learners)} if config.replay.checkpoint else set()
    former = [folder for folder in root.glob("rank_*/") if folder.name not in keeping] if rank == 0 else []
    return ReplayContents(root / rank_name(rank) if config.replay.checkpoint else None, former=former)


def throttle(config: Config) -> Throttle:
    """The limits within which the shard's feeder collects."""
    queue = config.replay.sources[0]
    return Throttle(
        batch_columns=columns_of(config, queue.share),
        unroll_columns=config.actors.envs_per_actor,
        max_policy_lag=config.actors.max_policy_lag,
        capacity=queue.capacity if queue.overflow == "block" else None,
    )


def make_network(config: Config, spec: EnvSpec) -> ActorCritic:
    """The network, freshly initialised, on the CPU."""
    seed, settings = derive_seed(config.run.seed, "network"), config.model
    return build_actor_critic(
        spec,
        encoder=settings.encoder.model_dump(),
        heads=settings.heads,
        num_value_heads=num_value_heads(config),
        separate_value=settings.separate_value,
        normalize_observations=settings.normalize_observations,
        seed=seed,
    )


def num_value_heads(config: Config) -> int:
    """One for rewards, and one for bonuses where there are any."""
    return 1 if config.learner.rnd is None else 2


def num_features(config: Config) -> int:
    """Features that unrolls keep of each step; 0: no replay source compares any."""
    if not compares_features(config.replay):
        return 0
    return config.replay.features or config.model.encoder.embedding


def _feature_view(config: Config, device: torch.device) -> FeatureView | None:
    if not compares_features(config.replay):
        return None
    if config.replay.features is None:
        return trunk_activations
    seed = derive_seed(config.run.seed, "features")
    return Projection(config.model.encoder.embedding, config.replay.features, seed=seed, device=device)


def _current_features(config: Config, spec: EnvSpec) -> CurrentFeatures | None:
    """As the rollout actors compute them, in the numeric type of their device, but on the scorer's."""
    device = torch.device(config.replay.scorer.device)
    view = _feature_view(config, device)
    if view is None:
        return None
    # `auto` may differ between the two, and then features under unmoved weights would not be those that were stored.
    precision = _precision(config, spec, torch.device(config.actors.device))
    network = ActingNetwork(make_network(config, spec), precision=precision, device=device)
    return CurrentFeatures(network, view, frame_stack=spec.frame_stack)


def _learner_settings(settings: LearnerConfig) -> LearnerSettings:
    return LearnerSettings(
        estimator=settings.estimator,
        objective=settings.objective,
        epochs=settings.epochs,
        minibatches=settings.minibatches,
        discount=settings.discount,
        trace_decay=settings.trace_decay,
        rho_clip=settings.rho_clip,
        c_clip=settings.c_clip,
        pg_rho_clip=settings.pg_rho_clip,
        ratio_clip=settings.clip,
        reduction=settings.reduction,
        reward_transform=settings.reward_transform,
        reward_scale=settings.reward_scale,
        normalize_advantages=settings.normalize_advantages,
        value_weight=settings.terms.value,
        intrinsic_value_weight=settings.terms.intrinsic_value,
        rnd_weight=settings.terms.rnd,
        policy_cloning_weight=settings.terms.policy_cloning,
        value_cloning_weight=settings.terms.value_cloning,
        relevance=None if settings.relevance is None else Relevance(**settings.relevance.model_dump()),
        impact=_impact_settings(settings) if settings.objective == "impact" else ImpactSettings(),
        rnd=rnd_settings(settings),
    )


def _impact_settings(settings: LearnerConfig) -> ImpactSettings:
    kl = {} if settings.kl is None else {"kl_coefficient": settings.kl.coefficient, "kl_target": settings.kl.target}
    return ImpactSettings(
        target_every=settings.target.every_updates,
        target_tau=settings.target.tau,
        buffer_batches=settings.reuse.batches,
        buffer_uses=settings.reuse.uses,
        **kl,
    )


def _learner_device(config: Config) -> str:
    """`auto` is a GPU where there is one; over Ray one that was set aside, for others may belong to other actors."""
    if config.learner.device != "auto":
        return config.learner.device
    may_use = config.cluster.mode != "ray" or config.cluster.gpus_per_learner > 0
    return "cuda" if may_use and torch.cuda.is_available() else "cpu"


def _precision(config: Config, spec: EnvSpec, device: torch.device) -> torch.dtype:
    return resolve_precision(config.model.precision, device, observation_dtype=spec.observation_dtype)


def _optimizer(settings: Rmsprop | Adam) -> OptimizerFactory:
    keywords = settings.model_dump(exclude={"kind", "learning_rate"})
    return {"rmsprop": rmsprop, "adam": adam}[settings.kind](**keywords)


def _schedule(settings: ScheduleConfig) -> Schedule:
    if settings.final is None:
        return Schedule(settings.initial)
    return Schedule(settings.initial, settings.final, settings.over_env_steps)
