"""Exploration bonuses from the config."""

import torch

from configs.learner import LearnerConfig, RndConfig
from configs.model import GridCnn
from configs.schema import Config
from learners.exploration.inputs import EmbeddingView, InputView, ObservationView
from learners.exploration.rnd import RandomNetworkDistillation
from learners.exploration.settings import RndSettings
from learners.ranks import Ranks
from models.actor_critic import ActorCritic
from models.rnd import build_rnd
from rl_platform.core.precision import resolve_precision
from rl_platform.core.seeding import derive_seed
from rl_platform.core.spec import EnvSpec


def make_rnd(config: Config, spec: EnvSpec, network: ActorCritic, device: torch.device,
             ranks: Ranks) -> RandomNetworkDistillation | None:  # fmt: skip
    """Bonuses on what the environment shows, or on what the `network` that is trained makes of it; None: without."""
    settings = config.learner.rnd
    if settings is None:
        return None
    view = _view(config, settings, spec, network.to(device))  # a copy of the encoder is made where it will be
    networks = build_rnd(view.shape, of_embedding=settings.input == "embedding", num_outputs=settings.outputs,
                         seed=derive_seed(config.run.seed, "rnd"))  # fmt: skip
    return RandomNetworkDistillation(
        *networks,
        view,
        rnd_settings(config.learner),
        precision=resolve_precision(config.model.precision, device, observation_dtype=spec.observation_dtype),
        device=device,
        ranks=ranks,
        seed=derive_seed(config.run.seed, "distillation"),
    )


def _view(config: Config, settings: RndConfig, spec: EnvSpec, network: ActorCritic) -> InputView:
    if settings.input == "observation":
        categories = config.model.encoder.categories if isinstance(config.model.encoder, GridCnn) else ()
        return ObservationView(spec.observation_shape, frame_stack=spec.frame_stack, categories=categories)
    tau = settings.tau if settings.embedding_source == "polyak" else None
    return EmbeddingView(network.encoder, prepared=network.normalizer, tau=tau, every=settings.every_epochs)


def rnd_settings(learner: LearnerConfig) -> RndSettings | None:
    """As plain values; None: no bonuses."""
    if learner.rnd is None:
        return None
    plain = learner.rnd.model_dump(exclude={"input", "embedding_source", "tau", "every_epochs", "outputs"})
    return RndSettings(**plain)
