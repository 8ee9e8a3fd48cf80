"""The plain parts, hosted in Ray actors. Nothing here but hosting: the work is in actors/, replay/ and learners/."""

import sys
import threading
import traceback
from collections.abc import Callable, Set
from typing import Any, NamedTuple

import ray
import torch
from ray.exceptions import RayActorError, RayError

from actors.rollout_worker import RolloutWorker
from learners.learner import Learner
from learners.ranks import ONE_RANK, Address, CommunicationBackend, Ranks, host_ranks, join_ranks
from replay.contents import ReplayContents
from replay.shard import ReplayShard
from rl_platform.core.allocator import keep_freed_memory
from rl_platform.core.types import Batch, LearnerProgress, RolloutInfo, ShardStatus, Unroll, UpdateInfo, Weights
from rl_platform.runtime.replay_states import restore


def reason(error: RayError) -> str:
    """One line of an actor's error: the exception that it raised, or how it ended when it died."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    died = isinstance(error, RayActorError) and "creation task" not in lines[0]
    return f"it died ({lines[0]})" if died else lines[-1]


class WorkerStatus(NamedTuple):
    """What a rollout actor was doing when asked."""

    env_call_s: float
    """Seconds that the present environment call has taken; 0 outside one."""
    env: str
    stack: str


@ray.remote(concurrency_groups={"watch": 1})
class RolloutActor:
    """Hosts a RolloutWorker; `status` answers from a second thread while `collect` runs."""

    def __init__(self, make_worker: Callable[[], RolloutWorker], *, torch_threads: int):
        self._torch_threads = torch_threads
        self._worker = make_worker()
        self._thread: int | None = None

    @ray.method(num_returns=2)
    def collect(self, weights: Weights) -> tuple[RolloutInfo, Unroll]:
        if self._thread is None:  # the constructor may have run in another thread, and each has its own number
            torch.set_num_threads(self._torch_threads)
        self._thread = threading.get_ident()
        unroll, info = self._worker.collect(weights)
        return info, unroll

    @ray.method(concurrency_group="watch")
    def status(self) -> WorkerStatus:
        seconds, env = self._worker.stuck()
        frame = sys._current_frames().get(self._thread or 0)
        return WorkerStatus(seconds, env, "".join(traceback.format_stack(frame)) if frame else "")


@ray.remote(concurrency_groups={"contents": 1})
class ReplayActor:
    """Hosts a ReplayShard, and what saves and loads its sources: `contents` writes while `exchange` goes on."""

    def __init__(self, make_shard: Callable[[], ReplayShard], contents: ReplayContents | None = None, *,
                 torch_threads: int = 1):  # fmt: skip
        self._torch_threads = torch_threads
        self._shard = make_shard()
        self._contents = contents or ReplayContents(None)
        self._exchanging = threading.Lock()

    def status(self) -> ShardStatus:
        return self._shard.status()

    @ray.method(num_returns=2)
    def exchange(self, learner_version: int | None, weights: Weights | None,
                 *unrolls: Unroll) -> tuple[ShardStatus, Batch | None]:  # fmt: skip
        """Take unrolls in; give a batch for that version out, if one is asked for and can be had.

        `weights` are the newest known, if candidates are to be compared under them.
        """
        torch.set_num_threads(self._torch_threads)  # as in `RolloutActor.collect`; batches are scored in this thread
        with self._exchanging:
            for unroll in unrolls:
                self._shard.insert(unroll)
            batch = None if learner_version is None else self._shard.next_batch(learner_version, weights)
            return self._shard.status(), batch

    @ray.method(concurrency_group="contents")
    def contents(self, needed: Set[str]) -> dict[str, Any]:
        """The state of the replay sources between two exchanges; their new columns are written by this actor."""
        return self._contents.state_dict(self._shard.sources, needed=needed, lock=self._exchanging)

    def restore(self, state: dict[str, Any] | None) -> list[str]:
        """Have the replay sources go on from `state` (None: they are fresh); returns lines that people should know."""
        with self._exchanging:
            return restore(self._contents, self._shard.sources, state)


class RankSpec(NamedTuple):
    """The place of a learner among the ranks of its generation."""

    index: int
    count: int
    backend: CommunicationBackend
    timeout_s: float
    """How long the others may keep it waiting."""


@ray.remote
class LearnerActor:
    """Hosts a Learner: one rank of a generation, which lives and dies as a whole."""

    def __init__(self, rank_spec: RankSpec, *, torch_threads: int):
        keep_freed_memory()  # of glibc's allocator, where there is no other
        torch.set_num_threads(torch_threads)
        self._rank_spec = rank_spec
        self._ranks: Ranks = ONE_RANK
        self._store: Any = None

    def present(self) -> None:
        """It has started."""

    def host(self) -> Address:
        """Open the place where the ranks of this generation meet."""
        address, self._store = host_ranks(ray.util.get_node_ip_address(), timeout_s=self._rank_spec.timeout_s)
        return address

    def begin(self, make_learner: Callable[[Ranks], Learner], meeting: Address | None, state: dict[str, Any] | None,
              version: int | None, *present: None) -> LearnerProgress:  # fmt: skip
        """Meet the others, make the learner and have it go on from `state`, its weights from `version` on."""
        if meeting is not None:
            self._ranks = join_ranks(meeting, store=self._store, **self._rank_spec._asdict())
        self._learner = make_learner(self._ranks)
        if state is not None:
            self._learner.load_state_dict(state)
        if version is not None:
            self._learner.continue_at(version)
        return self.progress()

    def progress(self) -> LearnerProgress:
        return self._learner.progress()

    def weights(self) -> Weights:
        return self._learner.weights()

    @ray.method(num_returns=2)
    def update(self, batch: Batch | None) -> tuple[UpdateInfo | None, Weights | None]:
        """One update. A lone rank passes over a batch that did not come about (its columns went stale)."""
        if batch is None and self._ranks.count == 1:
            return None, None
        return self._learner.update(batch), self._learner.weights()

    def state(self) -> dict[str, Any]:
        return self._learner.state_dict()
