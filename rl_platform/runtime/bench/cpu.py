"""CPU seconds of a tree of processes, thread by thread, from /proc (Linux)."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")


class Thread(NamedTuple):
    """One thread now: its name and the CPU seconds it has used (schedstat counts nanoseconds)."""

    name: str
    cpu_s: float


class Process(NamedTuple):
    """One process now."""

    name: str
    cpu_s: float
    """Of all its threads, those that have ended included."""
    threads: dict[int, Thread]


class CpuWatch:
    """Looks at this process and everything that descends from it; what looking costs is left out."""

    def __init__(self) -> None:
        self._spent_s = 0.0

    def look(self) -> dict[int, Process]:
        """Every process of the tree by its id. One that ends meanwhile is left out."""
        began, own = time.thread_time(), os.getpid()
        found = {pid: process for pid in _descendants(own) if (process := _process(pid)) is not None}
        myself = _process(own)
        assert myself is not None
        self._spent_s += time.thread_time() - began
        thread = myself.threads[me := threading.get_native_id()]
        threads = myself.threads | {me: thread._replace(cpu_s=thread.cpu_s - self._spent_s)}
        return found | {own: Process("driver", myself.cpu_s - self._spent_s, threads)}


def _descendants(root: int) -> list[int]:
    parents = dict(_parents())
    found = [root]
    for pid in found:  # grows as it goes
        found += [child for child, parent in parents.items() if parent == pid]
    return found[1:]


def _parents() -> Iterator[tuple[int, int]]:
    """(process, its parent) of every process on this machine."""
    for entry in os.listdir(_PROC):
        if entry.isdecimal() and (text := _read(_PROC / entry / "stat")) is not None:
            yield int(entry), int(text.rpartition(")")[2].split()[1])  # a command may hold blanks and brackets


def _process(pid: int) -> Process | None:
    """None if it has ended."""
    folder = _PROC / str(pid)
    try:
        threads = {int(tid): _thread(folder / "task" / tid) for tid in os.listdir(folder / "task")}
        cpu_s = time.clock_gettime(_cpu_clock(pid))
    except OSError:
        return None
    return Process(_name(folder), cpu_s, {tid: thread for tid, thread in threads.items() if thread is not None})


def _thread(folder: Path) -> Thread | None:
    name, schedstat = _read(folder / "comm"), _read(folder / "schedstat")
    return None if name is None or schedstat is None else Thread(name.strip(), int(schedstat.split()[0]) * 1e-9)


def _cpu_clock(pid: int) -> int:
    """The clock of a process's CPU time, as clock_getcpuclockid(3) makes it on Linux."""
    return (~pid << 3) | 2


def _name(folder: Path) -> str:
    """What a process is, from its command line: `raylet`, `ray::RolloutActor`, or the script that Python runs."""
    words = (_read(folder / "cmdline") or "").split("\0")
    title = next((word for word in words if word.endswith(".py")), words[0])
    return title.partition(".")[0] if title.startswith("ray::") else Path(title).name


def _read(path: Path) -> str | None:
    """None if the process has ended."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return None
