"""Small learners with bonuses."""

from typing import Any

import numpy as np
import torch

from learners.exploration.inputs import EmbeddingView, InputView, ObservationView
from learners.exploration.rnd import RandomNetworkDistillation
from learners.exploration.settings import RndSettings
from learners.learner import Learner
from learners.optimizer import adam
from learners.ranks import ONE_RANK, Ranks
from learners.sample import Sample
from learners.settings import LearnerSettings
from models.actor_critic import ActorCritic
from models.build import build_actor_critic
from models.rnd import build_rnd
from rl_platform.core.distributions import Categorical
from rl_platform.core.schedule import Schedule
from rl_platform.core.spec import EnvSpec
from rl_platform.core.types import Batch, Trajectory, axes_swapped
from tests.learners.small_learner import COLUMNS, ENCODERS, STEPS, VECTORS, batch

OUTPUTS = 8


def rnd_of(spec: EnvSpec, settings: RndSettings, *, dtype: torch.dtype = torch.float32, ranks: Ranks = ONE_RANK,
           view: InputView | None = None, device: str = "cpu",
           networks_seed: int = 2) -> RandomNetworkDistillation:  # fmt: skip
    """Bonuses on observations, or on what `view` makes of them."""
    seen = ObservationView(spec.observation_shape, frame_stack=spec.frame_stack) if view is None else view
    networks = build_rnd(seen.shape, of_embedding=view is not None, num_outputs=OUTPUTS,
                         seed=networks_seed)  # fmt: skip
    return RandomNetworkDistillation(
        *(network.to(dtype) for network in networks),
        seen,
        settings,
        precision=torch.float32,
        device=torch.device(device),
        ranks=ranks,
        seed=3,
    )


class Exploring:
    """A learner, and what it is made of."""

    def __init__(self, spec: EnvSpec = VECTORS, *, of_embedding: bool = False, tau: float | None = None,
                 every: int = 1, rnd: dict[str, Any] | None = None, device: str = "cpu", networks_seed: int = 2,
                 **settings: Any):  # fmt: skip
        self.model: ActorCritic = build_actor_critic(spec, encoder=ENCODERS[spec], num_value_heads=2, seed=1).to(device)
        chosen = RndSettings(**(rnd or {}))
        view = EmbeddingView(self.model.encoder, tau=tau, every=every) if of_embedding else None
        self.rnd = rnd_of(spec, chosen, view=view, device=device, networks_seed=networks_seed)
        self.learner = Learner(
            self.model,
            Categorical(2),
            LearnerSettings(rnd=chosen, reduction="mean", **settings),
            optimizer=adam(),
            learning_rate=Schedule(1e-3),
            entropy_weight=Schedule(0.01),
            gradient_clip=40.0,
            frame_stack=spec.frame_stack,
            precision=torch.float32,
            device=device,
            rnd=self.rnd,
        )


def reset_batch(spec: EnvSpec = VECTORS, seed: int = 0, *, shows: float = 1) -> Batch:
    """Every third transition only resets, to one and the same observation, all of whose numbers are `shows`; the one
    before it terminates.
    """
    made = batch(spec, seed)
    terminated, valid = (np.tile(np.arange(STEPS) % 3 == phase, (COLUMNS, 1)) for phase in (0, 1))
    valid = ~valid
    is_first = np.pad(~valid, ((0, 0), (1, 0)))
    observation = made.steps.observation.copy()
    observation[:, spec.frame_stack :][~valid] = shows
    steps = made.steps._replace(observation=observation, terminated=terminated, valid=valid, is_first=is_first)
    return made._replace(steps=steps, env_steps=int(valid.sum()))


def as_sample(made: Batch) -> Sample:
    """As the learner has it on its device; frames are not stacked."""
    steps = Trajectory(*(torch.from_numpy(array.copy()) for array in axes_swapped(made.steps)))
    return Sample(steps, torch.from_numpy(~made.online))
