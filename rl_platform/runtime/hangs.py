"""Environment calls that do not return, seen from another thread of the same process."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rl_platform.core.interfaces import Worker
from rl_platform.runtime.run_log import log

_LOOK_EVERY_S = 0.5


def hang_of(workers: Sequence[Worker], limit_s: float) -> str | None:
    """What has not returned for longer than `limit_s`, in words; None if there is nothing of the kind."""
    for worker in workers:
        seconds, where = worker.stuck()
        if seconds > limit_s:
            return f"{where} has not returned for {seconds:.0f} s"
    return None


@contextmanager
def hangs_named(workers: Sequence[Worker], limit_s: float) -> Iterator[None]:
    """Beside what is done inside, log the first environment call that takes longer than `limit_s`."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_LOOK_EVERY_S):
            if hang := hang_of(workers, limit_s):
                log.error("%s; if it never does, Ctrl-C twice ends the run without a checkpoint", hang)
                return

    watcher = threading.Thread(target=watch, name="watcher", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
