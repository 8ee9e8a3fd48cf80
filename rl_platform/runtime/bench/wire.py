"""Bytes per env step on each hop, as Ray stores them: pickle protocol 5 with the arrays beside it."""

import pickle
from typing import Any, NamedTuple

import numpy as np

from configs.schema import Config
from rl_platform.core.spec import EnvSpec
from rl_platform.runtime import build_envs
from rl_platform.runtime.bench.ours import recorded

_ALIGNMENT = 64
"""Ray begins every array at a multiple of this in its object."""
_ALLOWANCE = 1.03
"""Everything but frames may take 3 % more."""


class Wire(NamedTuple):
    """Bytes per env step."""

    rollout_to_replay: float
    replay_to_learner: float
    bound: float
    """1.03 × (T + S) / T × bytes of a frame: each frame once, and the S that the first stack needs."""


def measure_wire(config: Config) -> Wire:
    """From a real unroll and a real batch of the config's environments."""
    spec = build_envs.env_spec(config)
    unroll, batch = recorded(config, spec)
    return Wire(
        rollout_to_replay=stored_bytes(unroll) / unroll.steps.valid.size,
        replay_to_learner=stored_bytes(batch) / batch.steps.valid.size,
        bound=_bound(spec, config.actors.unroll_length),
    )


def stored_bytes(record: Any) -> int:
    """Size of a record's pickle and of the arrays that it keeps beside it, each filled up to whole cache lines."""
    arrays: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(record, protocol=5, buffer_callback=arrays.append)
    return len(pickled) + sum(-(-array.raw().nbytes // _ALIGNMENT) * _ALIGNMENT for array in arrays)


def _bound(spec: EnvSpec, unroll_length: int) -> float:
    frame_bytes = np.dtype(spec.observation_dtype).itemsize * int(np.prod(spec.frame_shape))
    return _ALLOWANCE * (unroll_length + spec.frame_stack) / unroll_length * frame_bytes
