"""One run: its folder, its statistics, its checkpoints, and when it ends. Both wirings report to it."""

import threading
import time
from collections.abc import Mapping, Set
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from configs.schema import Config
from rl_platform.core.types import RolloutInfo, ShardStatus, UpdateInfo
from rl_platform.observability.curve import write_curve
from rl_platform.observability.evaluations import Evaluation
from rl_platform.observability.exploration import write_exploration
from rl_platform.observability.metrics import RunStatistics
from rl_platform.observability.progress import Progress
from rl_platform.observability.progress_view import Budget
from rl_platform.observability.writers import RunWriters
from rl_platform.runtime.checkpoint import State, save_checkpoint
from rl_platform.runtime.launch import Launch
from rl_platform.runtime.replay_states import segment_files, segment_files_below
from rl_platform.runtime.run_log import RunConsole, close_log, log, open_log
from rl_platform.runtime.stop import StopRequest


class Run:
    """Everything about a run that is not the training itself. Its methods may be called from several threads.

    Args:
      directory: the run's folder.
      frame_skip: emulator frames in an env step.
      launch: what it starts from.
      stop: whether somebody asked it to end.
    """

    def __init__(self, config: Config, directory: Path, *, frame_skip: int, launch: Launch, stop: StopRequest):
        self._config, self.directory = config, directory
        self._lock = threading.RLock()
        self._statistics = RunStatistics(frame_skip=frame_skip)
        self._frame_skip = frame_skip
        self._env_steps = 0
        self._collected = 0
        self._env_steps_lost = 0
        self._waiting_share = 0.0
        self._segments_in_writing: Set[str] = frozenset()
        if launch.restored is not None:
            self._statistics.load_state_dict(launch.restored["run"]["statistics"])
            self._env_steps = self._collected = launch.restored["run"]["env_steps"]
        self._launch_number, self.first_incarnation = launch.number, launch.first_incarnation
        self._writers = RunWriters(
            directory,
            tensorboard=config.logging.tensorboard,
            ray_metrics=config.logging.ray_metrics,
            restored_env_steps=self._env_steps,
        )
        self._began_at = self._env_steps
        self._saver = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._saving: Future[Path | None] | None = None
        limit = config.run.max_seconds
        self._progress = Progress(
            Budget(config.run.total_env_steps, limit and self._statistics.wall_s() + limit),
            title=str(directory),
            mode=config.logging.progress,
            plain_every_s=config.logging.every_s,
            console=RunConsole(),
        )
        self._log_handlers = open_log(directory / "log.txt", self._progress.console)
        self._began: float | None = None
        self._next_row = self._next_checkpoint = time.monotonic()
        self._next_checkpoint += config.run.checkpoint_every_s
        self.stop = stop
        self._writers.write_summary(self._statistics.summary("running"))
        for note in launch.notes:
            log.info("%s", note)
        self._warming_up = self._begins_with_warm_up(launch)

    def _begins_with_warm_up(self, launch: Launch) -> bool:
        """Whether the first updates do not train the policy, which is then said."""
        learner, done = self._config.learner, 0 if launch.restored is None else int(launch.restored["updates"])
        if learner.rnd is None or done >= learner.rnd.init_updates:
            return False
        updates, columns = learner.rnd.init_updates, learner.max_columns or learner.batch_columns
        steps = updates * columns * self._config.cluster.num_learners * self._config.actors.unroll_length
        log.info(
            "warm-up: the first %d updates (up to %d env steps) only learn the scale of bonuses' inputs", updates, steps
        )
        return True

    def add_rollout(self, info: RolloutInfo) -> None:
        """An unroll was collected."""
        with self._lock:
            if self._began is None:
                self._began = time.monotonic()
            self._statistics.add_rollout(info)
            self._collected += info.env_steps
        for fault in info.faults:
            log.warning("rollout actor %d: environment replaced: %s", info.origin.actor, fault)

    def add_shard(self, status: ShardStatus) -> None:
        """A replay shard told its fill."""
        with self._lock:
            self._statistics.add_shard(status)

    def add_update(self, info: UpdateInfo) -> None:
        """An update was done."""
        with self._lock:
            self._tell_of_waiting(info.metrics)
            self._tell_of_warm_up(info)
            self._env_steps = info.env_steps
            self._statistics.add_update(info)
            self._statistics.add_failures(columns_dropped=info.columns_dropped)

    def _tell_of_warm_up(self, info: UpdateInfo) -> None:
        if self._warming_up and info.updates >= self._config.learner.rnd.init_updates:
            self._warming_up = False
            log.info("warm-up done at %d env steps: the policy begins to learn", info.env_steps)

    def _tell_of_waiting(self, metrics: Mapping[str, float]) -> None:
        """Say when replay sources begin to leave their share of a batch to the queue, and when that ends."""
        share = metrics.get("replay/waiting_share", self._waiting_share)  # an update without a batch does not tell
        if share and not self._waiting_share:
            log.info("replay sources hold too little yet: the queue serves %.0f %% of a batch for them", 100 * share)
        if self._waiting_share and not share:
            log.info("all replay sources serve")
        self._waiting_share = share

    def add_failures(self, *, unrolls_lost: int = 0, columns_dropped: int = 0, actors_restarted: int = 0) -> None:
        """So many more: unrolls that died on their way, columns dropped unused, actors replaced."""
        with self._lock:
            self._statistics.add_failures(
                unrolls_lost=unrolls_lost, columns_dropped=columns_dropped, actors_restarted=actors_restarted
            )

    def set_env_steps_lost(self, env_steps: int) -> None:
        """Of the env steps that reached a replay shard in this launch, so many will never be committed."""
        with self._lock:
            self._statistics.add_failures(env_steps_lost=env_steps - self._env_steps_lost)
            self._env_steps_lost = env_steps

    def fall_back(self, *, env_steps: int, updates: int) -> None:
        """The learners began anew from a snapshot: what came after it is not committed any more."""
        with self._lock:
            log.info("the learner is at %d env steps; %d had been committed", env_steps, self._env_steps)
            self._env_steps = env_steps
            self._statistics.fall_back(env_steps=env_steps, updates=updates)

    def add_evaluation(self, evaluation: Evaluation) -> None:
        """An evaluation has ended."""
        with self._lock:
            self._statistics.add_evaluation(evaluation)

    def add_failed_evaluation(self) -> None:
        """An evaluation came to nothing."""
        with self._lock:
            self._statistics.add_failed_evaluation()

    def account(self, arrived: int, in_shards: int, lost_on_the_way: int) -> None:
        """Say where every env step of this launch went.

        arrived = committed + in the shards + lost; collected = arrived + lost on the way, but for what a feeder had not
        told yet when it died.
        """
        committed, collected = self._env_steps - self._began_at, self._collected - self._began_at
        log.info(
            "env steps: %d arrived at the replay shards, %d committed, %d in the shards and not committed, %d lost; "
            "%d collected, of which %d lost on the way",
            arrived, committed, in_shards, self._env_steps_lost, collected, lost_on_the_way,
        )  # fmt: skip

    def tick(self) -> None:
        """Write a metrics row and show progress when it is time."""
        if time.monotonic() >= self._next_row and self._began is not None:
            self._next_row = time.monotonic() + self._config.logging.every_s
            self._write_row()

    def should_stop(self) -> bool:
        """Whether the run has reached its end, or somebody asked for it."""
        limit = self._config.run.max_seconds
        timed_out = limit is not None and self._began is not None and time.monotonic() - self._began >= limit
        return timed_out or self._env_steps >= self._config.run.total_env_steps or self.stop.made()

    def checkpoint_due(self) -> bool:
        """True once every `run.checkpoint_every_s`."""
        if time.monotonic() < self._next_checkpoint:
            return False
        self._next_checkpoint = time.monotonic() + self._config.run.checkpoint_every_s
        return True

    @property
    def env_steps(self) -> int:
        """Committed so far."""
        return self._env_steps

    def whole_state(self, learner_state: State) -> State:
        """What a checkpoint holds: the run's own state beside that of the learner and, where it is there, of replay."""
        with self._lock:
            statistics = self._statistics.state_dict()
        # The statistics may have gone on since the learner's state was taken.
        env_steps, updates = int(learner_state["env_steps"]), int(learner_state["updates"])
        statistics |= {"env_steps": env_steps, "learner_updates": updates}
        return learner_state | {
            "run": {"env_steps": env_steps, "launch": self._launch_number, "statistics": statistics}
        }

    def segments_needed(self) -> Set[str]:
        """The replay segments that checkpoints name, the one in writing included."""
        return segment_files_below(self.directory / "checkpoints") | self._segments_in_writing

    def save_soon(self, learner_state: State) -> None:
        """Write a checkpoint in a thread: neither the learner nor whoever feeds it waits for the disk."""
        if self._saving is not None and not self._saving.done():
            log.warning("a checkpoint is still being written: the one now due is left out")
            return
        self._segments_in_writing = segment_files(learner_state)
        self._saving = self._saver.submit(self.save, learner_state)
        self._saving.add_done_callback(_tell_of_failure)

    def save(self, learner_state: State, status: str = "running") -> Path | None:
        """Write a checkpoint, then the summary. None if the disk refuses: the last good checkpoint stays.

        The state of a failed run is kept only if something was learned: without a checkpoint its folder can be reused.
        """
        if status == "failed" and not learner_state["updates"]:
            return None
        state = self.whole_state(learner_state)
        with self._lock:
            summary = self._statistics.summary(status)
        path = self._save(state, state["run"]["env_steps"])
        self._writers.write_summary(summary)
        if status == "running":
            self._write_exploration()
        return path

    def _save(self, state: State, env_steps: int) -> Path | None:
        root, keep = self.directory / "checkpoints", self._config.run.keep_checkpoints
        try:
            return save_checkpoint(root, state, env_steps=env_steps, keep=keep)
        except OSError as error:
            log.error("checkpoint at %d env steps not written (%s)", env_steps, error)
            return None

    def finish_saving(self) -> None:
        """Wait for the checkpoint under way."""
        self._saver.shutdown()

    def finish(self, status: str) -> dict[str, Any]:
        """Write the last row, summary and curve; returns the summary."""
        if self._began is not None:
            self._write_row()
        summary = self._statistics.summary(status)
        self._writers.write_summary(summary)
        self._writers.close()
        self._progress.close()
        self._write_exploration()
        self._draw_curve()
        close_log(self._log_handlers)
        return summary

    def _write_exploration(self) -> None:
        with self._lock:
            report, clips = self._statistics.rooms.report(), self._statistics.rooms.clips()
        try:
            write_exploration(self.directory, report, clips, game=self._config.env.id, frame_skip=self._frame_skip,
                              with_bonus=self._config.learner.rnd is not None)  # fmt: skip
        except Exception as error:  # whatever encoders and drawing raise, the run is worth more than its pictures
            log.error("exploration/ not written whole (%r): clips wait for the next time", error)
            return
        with self._lock:
            self._statistics.rooms.drop_clips(clips)

    def _draw_curve(self) -> None:
        if self._began is None:
            return  # nothing new to draw
        try:
            write_curve([self.directory], self.directory / "curve.png")
        except Exception as error:  # as above
            log.error("curve.png not written (%r)", error)

    def _write_row(self) -> None:
        with self._lock:
            row, histograms = self._statistics.row(), self._statistics.histograms
        self._writers.write_row(row, histograms)
        self._progress.update(row)


def _tell_of_failure(saving: Future[Path | None]) -> None:
    if (error := saving.exception()) is not None:
        log.error("a checkpoint was not written", exc_info=error)
