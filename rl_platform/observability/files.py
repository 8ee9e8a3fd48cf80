"""Writing that a crash, a kill or a full disk cannot leave half done."""

import errno
import json
import logging
import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rl_platform.core.durable import write_synced

WARN_EVERY_S = 60.0
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_log = logging.getLogger(__name__)


class AppendFile:
    """A file that grows by whole blocks; a block that cannot be written in full is taken back, and the error raised."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115 (lives as long as the run; see `close`)

    def append(self, block: bytes) -> None:
        end = self._file.seek(0, os.SEEK_END)
        try:
            while block:  # a nearly full disk takes part of a block first and fails after that
                block = block[self._file.write(block) :]
        except OSError:
            self._file.truncate(end)
            raise

    def close(self) -> None:
        self._file.close()


def write_atomic(path: Path, content: bytes) -> None:
    """Replace a file: readers, and whoever comes after a crash, find the old content or the new, never a part."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        write_synced(temporary, content)
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def to_json(values: Mapping[str, Any], indent: int | None = None) -> bytes:
    """One JSON object and a line break; a number that is not finite, which JSON does not know, becomes null."""
    finite = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in values.items()
    }
    return (json.dumps(finite, indent=indent, allow_nan=False) + "\n").encode()


class FullDiskTolerance:
    """Lets a run go on without its records while the disk is full, saying so once a minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next_warning_s = -math.inf

    def attempt(self, path: Path, write: Callable[[], None]) -> None:
        """Call `write`; a full disk or quota is a warning, any other error is raised."""
        try:
            write()
        except OSError as error:
            if error.errno not in _DISK_FULL:
                raise
            self._warn(path, error)

    def _warn(self, path: Path, error: OSError) -> None:
        now_s = self._clock()
        if now_s >= self._next_warning_s:
            self._next_warning_s = now_s + WARN_EVERY_S
            _log.warning("%s was not written (%s); training goes on: free some space", path, error.strerror)
