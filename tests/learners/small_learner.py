"""Small learners, and batches that they can learn from or stumble over."""

import math
from typing import Any

import numpy as np
import torch

from actors.policy import TorchPolicy
from learners.learner import Learner
from learners.optimizer import OptimizerFactory, rmsprop
from learners.settings import LearnerSettings
from models.build import build_actor_critic
from rl_platform.core.distributions import Categorical, distribution_of
from rl_platform.core.schedule import Schedule
from rl_platform.core.spec import ActionSpec, EnvSpec
from rl_platform.core.types import Batch, Trajectory, UpdateInfo

VECTORS = EnvSpec("vectors", (3,), "float32", ActionSpec("categorical", 2))
IMAGES = EnvSpec("images", (4, 36, 36), "uint8", ActionSpec("categorical", 2), frame_stack=4)
CONTINUOUS = EnvSpec("continuous", (3,), "float32", ActionSpec("gaussian", 1))
ENCODERS = {VECTORS: {"kind": "mlp", "hidden": (16,)}, IMAGES: {"kind": "nature_cnn", "embedding": 16},
            CONTINUOUS: {"kind": "mlp", "hidden": (16,)}}  # fmt: skip
STEPS, COLUMNS = 5, 6


def learner(spec: EnvSpec = VECTORS, *, optimizer: OptimizerFactory | None = None,
            learning_rate: Schedule | None = None, entropy: float = 0.01, precision: torch.dtype = torch.float32,
            dtype: torch.dtype = torch.float32, normalize_observations: bool = False,
            **settings: Any) -> Learner:  # fmt: skip
    network = build_actor_critic(spec, encoder=ENCODERS[spec], normalize_observations=normalize_observations, seed=1)
    return Learner(
        network.to(dtype),
        distribution_of(spec.action),
        LearnerSettings(**settings),
        optimizer=optimizer or rmsprop(),
        learning_rate=learning_rate or Schedule(1e-2),
        entropy_weight=Schedule(entropy),
        gradient_clip=40.0,
        frame_stack=spec.frame_stack,
        precision=precision,
    )


def batch(spec: EnvSpec = VECTORS, seed: int = 0, **replaced: np.ndarray) -> Batch:
    """A bandit: action 1 earns 1, action 0 nothing. Arrays are read-only, as those in shared memory are."""
    rng = np.random.default_rng(seed)
    frames = rng.normal(size=(COLUMNS, STEPS + spec.frame_stack, *spec.frame_shape))
    frames = frames.astype(np.float32) if spec.observation_dtype == "float32" else (frames * 50 + 128).astype(np.uint8)
    action = rng.integers(0, 2, (COLUMNS, STEPS))
    steps = Trajectory(
        observation=frames,
        is_first=rng.random((COLUMNS, STEPS + 1)) < 0.2,
        action=action,
        reward=action.astype(np.float32),
        terminated=np.ones((COLUMNS, STEPS), bool),
        truncated=np.zeros((COLUMNS, STEPS), bool),
        valid=np.ones((COLUMNS, STEPS), bool),
        behaviour=np.zeros((COLUMNS, STEPS, 2), np.float32),
        value=np.zeros((COLUMNS, STEPS, 1), np.float32),
        features=np.zeros((COLUMNS, STEPS, 0), np.float16),
        memory=np.zeros((COLUMNS, 0), np.float32),
        previous_action=np.zeros(COLUMNS, np.int64),
        previous_reward=np.zeros(COLUMNS, np.float32),
        task=np.zeros(COLUMNS, np.int32),
    )._replace(**replaced)
    for array in steps:
        array.flags.writeable = False
    return Batch(
        steps,
        weight_version=np.zeros(COLUMNS, np.int64),
        origin=np.stack(np.broadcast_arrays(0, 0, seed, np.arange(COLUMNS)), axis=1),
        online=np.ones(COLUMNS, bool),
        env_steps=STEPS * COLUMNS,
        columns_dropped=3,
        uses=np.ones(COLUMNS, np.int32),
        metrics={},
    )


def hard_batch(seed: int = 0, *, replayed: slice = slice(0)) -> Batch:
    """Episodes that terminate, are truncated and reset (NaN in what is then to be ignored), acted by another policy.

    Args:
      replayed: which columns are; none by default.
    """
    rng = np.random.default_rng(seed)
    shape = (COLUMNS, STEPS)
    truncated = rng.random(shape) < 0.2
    valid = ~np.pad(truncated, ((0, 0), (1, 0)))[:, :STEPS]
    behaviour, reward, value = rng.normal(size=(*shape, 2)), rng.normal(size=shape), rng.normal(size=(*shape, 1))
    for array in (behaviour, reward, value):
        array[~valid] = math.nan
    steps = {"behaviour": behaviour.astype(np.float32), "reward": reward.astype(np.float32),
             "value": value.astype(np.float32)}  # fmt: skip
    made = batch(seed=seed, truncated=truncated, valid=valid, terminated=rng.random(shape) < 0.2, **steps)
    online = np.ones(COLUMNS, bool)
    online[replayed] = False
    return made._replace(online=online, env_steps=int(valid[online].sum()))


def acted_by(learning: Learner, made: Batch) -> Batch:
    """The batch with the distributions and values that the learner's present weights give for it (of vectors)."""
    policy = TorchPolicy(build_actor_critic(VECTORS, encoder=ENCODERS[VECTORS], seed=5), Categorical(2),
                         torch.Generator(), precision=torch.float32)  # fmt: skip
    policy.load(learning.weights())
    nothing = np.zeros(COLUMNS, bool), policy.initial_memory(COLUMNS)
    acted = [policy.act(made.steps.observation[:, t], *nothing) for t in range(STEPS)]
    behaviour, value = (np.stack(parts, axis=1) for parts in zip(*((each.behaviour, each.value) for each in acted),
                                                                   strict=True))  # fmt: skip
    steps = made.steps._replace(behaviour=behaviour, value=value)
    return made._replace(steps=steps, weight_version=np.full(COLUMNS, learning.weights().version))


def changed(array: np.ndarray, value: float, *, at: tuple[int, int] = (2, 3)) -> np.ndarray:
    copy = array.copy()
    copy[at] = value
    return copy


def plain(info: UpdateInfo) -> UpdateInfo:
    """What can be compared as a whole: arrays cannot."""
    return info._replace(histograms={})


def parameters(learning: Learner) -> np.ndarray:
    """[P] in the network's dtype."""
    return np.concatenate([array.ravel() for array in learning.state_dict()["model"].values()])


def optimizer_steps(learning: Learner) -> int:
    return int(learning.state_dict()["optimizer"]["tensors"]["step"])
