"""What a learner rank does in a process of its own, and the learner that it does it with."""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np
import torch

from learners.exploration.inputs import EmbeddingView
from learners.learner import Learner
from learners.optimizer import rmsprop
from learners.ranks import ONE_RANK, Address, Ranks, host_ranks, join_ranks
from learners.settings import LearnerSettings, Reduction
from models.build import build_actor_critic
from rl_platform.core.distributions import distribution_of
from rl_platform.core.schedule import Schedule
from rl_platform.core.spec import ActionSpec, EnvSpec
from rl_platform.core.types import Batch, UpdateInfo
from tests.learners.exploration.small_rnd import rnd_of
from tests.learners.rank_batches import Parts

CARTPOLE = EnvSpec("CartPole-v1", (4,), "float32", ActionSpec("categorical", 2))


class Case(NamedTuple):
    """How a learner learns."""

    dtype: torch.dtype = torch.float32
    reduction: Reduction = "sum"
    normalize_advantages: bool = False
    spec: EnvSpec = CARTPOLE
    encoder: dict[str, Any] = {"kind": "mlp", "hidden": (16,)}
    learning_rate: float = 1e-3
    watched: bool = False
    """The parameters' norm is kept for each update (slow for large networks)."""
    normalize_observations: bool = False
    settings: dict[str, Any] = {}
    """Further ones of `LearnerSettings`."""
    embedding_tau: float | None = None
    """Bonuses are of the embedding by a copy of the encoder that follows it with this τ; None: of observations."""


CASE = Case()


class Trained(NamedTuple):
    """What became of it."""

    parameters: np.ndarray
    """[P] in the case's dtype."""
    infos: list[UpdateInfo]
    norms: list[float]
    """Of the parameters, after each update, if the case is watched."""
    exploration: np.ndarray
    """[K] float64: the moments of bonuses' inputs and of their returns, the predictor and the view; empty without."""


def make_learner(case: Case = CASE, ranks: Ranks = ONE_RANK) -> Learner:
    settings = LearnerSettings(reduction=case.reduction, normalize_advantages=case.normalize_advantages,
                               **case.settings)  # fmt: skip
    network = build_actor_critic(case.spec, encoder=case.encoder, normalize_observations=case.normalize_observations,
                                 num_value_heads=1 if settings.rnd is None else 2, seed=1)  # fmt: skip
    network, view, rnd = network.to(case.dtype), None, None
    if case.embedding_tau is not None:
        view = EmbeddingView(network.encoder, tau=case.embedding_tau, every=1)
    if settings.rnd is not None:
        rnd = rnd_of(case.spec, settings.rnd, dtype=case.dtype, ranks=ranks, view=view)
    return Learner(
        network,
        distribution_of(case.spec.action),
        settings,
        optimizer=rmsprop(),
        learning_rate=Schedule(case.learning_rate),
        entropy_weight=Schedule(0.01),
        gradient_clip=40.0,
        frame_stack=case.spec.frame_stack,
        precision=torch.float32,
        ranks=ranks,
        rnd=rnd,
    )


def parameters(learner: Learner) -> np.ndarray:
    return np.concatenate([array.ravel() for array in learner.state_dict()["model"].values()])


def exploration(learner: Learner) -> np.ndarray:
    """What `Trained.exploration` says."""
    return np.concatenate([np.zeros(0), *_numbers(learner.state_dict().get("rnd", {}))])


def _numbers(state: Any) -> Iterator[np.ndarray]:
    """Every array and number of a state, flat, in the order of its keys."""
    for value in state.values():
        if isinstance(value, dict):
            yield from _numbers(value)
        else:
            yield np.ravel(np.asarray(value, np.float64))


def train(case: Case, batches: list[Batch | None], ranks: Ranks = ONE_RANK) -> Trained:
    learner = make_learner(case, ranks)
    infos, norms = [], []
    for batch in batches:
        infos.append(learner.update(batch))
        if case.watched:
            norms.append(float(np.linalg.norm(parameters(learner))))
    return Trained(parameters(learner), infos, norms, exploration(learner))


def train_together(pool: ProcessPoolExecutor, case: Case, shared: list[Parts]) -> list[Trained]:
    """Two ranks, each in a process of the pool, which has two."""
    address, store = host_ranks("127.0.0.1", timeout_s=60.0)
    futures = [pool.submit(_train_rank, address, index, case, list(batches))
               for index, batches in enumerate(zip(*shared, strict=True))]  # fmt: skip
    trained = [future.result() for future in futures]
    del store  # only now: the ranks meet in it
    return trained


def _train_rank(address: Address, index: int, case: Case, batches: list[Batch | None]) -> Trained:
    torch.set_num_threads(1)
    ranks = join_ranks(address, backend="gloo", index=index, count=2, timeout_s=60.0)
    trained = train(case, batches, ranks)
    ranks.close()
    return trained


def keep_up(parent: Connection, batch: Batch) -> None:
    """Rank 0 of two, which hosts their meeting: tells where, and then does an update on `batch` whenever asked."""
    torch.set_num_threads(1)
    make_learner().update(batch)  # the first update of a process imports a lot, for which the other would not wait
    address, store = host_ranks("127.0.0.1", timeout_s=60.0)
    parent.send(address)
    ranks = join_ranks(address, store=store, backend="gloo", index=0, count=2, timeout_s=60.0)
    learner = make_learner(ranks=ranks)
    while parent.recv():
        learner.update(batch)
