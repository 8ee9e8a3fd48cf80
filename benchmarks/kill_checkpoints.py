"""Kill -9 a process while it writes checkpoints, and see whether there is always a whole one.

    python benchmarks/kill_checkpoints.py [--kills 100] [--seed 0] [CONFIG] [--section.key value …]

A child writes checkpoints of the config's learner after an update, one after another, into one folder, each
number twice so that the second replaces the first, and keeps two; it says when it begins and when it has finished
each. It is killed at random moments, then once before every single file operation of a save (open, rename, remove).
After each kill the newest checkpoint must load without complaint, be consistent in itself and not be older than the
last that was announced as finished. Prints one JSON object; exit status 1 if anything was unreadable.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from configs.loader import load_config
from configs.schema import Config
from rl_platform.runtime import build, build_envs
from rl_platform.runtime.checkpoint import State, load_newest, save_checkpoint

KEEP = 2
FILE_OPERATIONS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.scandir")


def numbered(state: State, number: int) -> State:
    """`state` with every array full of `number` (so that it fits a byte), and the number itself at every level."""
    filled = {key: numbered(value, number) for key, value in state.items() if isinstance(value, dict)}
    arrays = {key: np.full_like(value, number % 128) for key, value in state.items() if isinstance(value, np.ndarray)}
    return state | filled | arrays | {"number": number}


class Death(NamedTuple):
    """Where a child kills itself: in the save of this number, before its file operation of that index."""

    number: int
    operation: int


def write(root: Path, state: State, first: int, said: Connection, death: Death | None) -> None:
    """The child: saves for ever, or up to the save in which it dies (it outlives one that has fewer operations)."""
    for number in itertools.count(first) if death is None else range(first, death.number + 1):
        content = numbered(state, number)
        if death is not None and number == death.number:
            die_before(death.operation)
        said.send(("began", number))
        save_checkpoint(root, content, env_steps=number // 2, keep=KEEP)
        said.send(("finished", number))


def die_before(operation: int) -> None:
    """Kill -9 this process when it is about to do its file operation of that number."""
    count = itertools.count()

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event in FILE_OPERATIONS and next(count) == operation:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


class Killer:
    """Starts children, sees them die, and checks what they left."""

    def __init__(self, root: Path, state: State):
        self._root, self._state = root, state
        self._newest = 0
        self._found: Counter[str] = Counter()
        self.unreadable: list[str] = []

    def kill_after(self, seconds: float) -> None:
        """Kill a child that long after its first save of several began."""
        child, said = self._child(self._newest + 1, None)
        said.recv()  # it has begun
        time.sleep(seconds)
        os.kill(child.pid, signal.SIGKILL)
        self._inspect(child, said)

    def kill_before(self, operation: int, *, replaces: bool) -> bool:
        """A child dies before that file operation of a save; False if the save has fewer.

        The save replaces a checkpoint of its number, or is the first of its number and deletes the oldest.
        """
        first = self._newest // 2 * 2 + 2  # even: the first of its number
        child, said = self._child(first, Death(first + (1 if replaces else 2), operation))
        child.join()
        if killed := child.exitcode == -signal.SIGKILL:
            self._inspect(child, said)
        return killed

    def take_found(self) -> dict[str, int]:
        """What the kills since the last call had hit and left."""
        found, self._found = dict(self._found), Counter()
        return found

    def _child(self, first: int, death: Death | None) -> tuple[multiprocessing.Process, Connection]:
        said, says = multiprocessing.Pipe(duplex=False)
        child = multiprocessing.get_context("fork").Process(
            target=write, args=(self._root, self._state, first, says, death)
        )
        child.start()
        says.close()
        return child, said

    def _inspect(self, child: multiprocessing.Process, said: Connection) -> None:
        child.join()
        events = [("began", self._newest + 1), *heard(said)]
        self._found["a write under way" if events[-1][0] == "began" else "between two writes"] += 1
        self._found.update(traces(self._root))
        finished = max((number for event, number in events if event == "finished"), default=self._newest)
        self._check(finished)

    def _check(self, finished: int) -> None:
        try:
            found = load_newest(self._root, self.unreadable.append)
            if found is None and finished == 0:
                return  # killed before the first was finished
            path, loaded = found
            number = loaded["number"]
            assert number >= finished, f"{path} holds {number}, and {finished} was finished"
            assert path.name.removesuffix(".old") == str(number // 2), f"{path} holds {number}"
            np.testing.assert_equal(loaded, numbered(self._state, number))
            self._newest = number
        except Exception as error:  # whatever it is, it is what this script counts
            self.unreadable.append(f"{type(error).__name__}: {error}")


def heard(said: Connection) -> Iterator[tuple[str, int]]:
    """Everything that a dead child had said."""
    while True:
        try:
            yield said.recv()
        except EOFError:
            return


def traces(root: Path) -> Iterator[str]:
    """What an interrupted save left in the folder."""
    for path in root.iterdir():
        if path.name.startswith(".unfinished"):
            yield "an unfinished folder"
        elif not (path / "manifest.json").exists():
            yield "a half-deleted checkpoint"
        elif path.suffix == ".old":
            yield "a replaced checkpoint"


def learned(config: Config) -> State:
    """The state of the config's learner after its first update, which fills the optimiser's arrays."""
    spec = build_envs.env_spec(config)
    learner, shard = build.make_learner(config, spec), build.make_shard(config, spec)
    worker = build.make_worker(config, 0, 0)
    while (batch := shard.next_batch(0)) is None:
        shard.insert(worker.collect(learner.weights())[0])
    worker.close()
    learner.update(batch)
    return learner.state_dict()


def one_save(root: Path, state: State) -> tuple[float, float]:
    """Seconds that a save takes, the median of five, and the size of its checkpoint in MB."""
    took = []
    for number in range(5):
        content, began = numbered(state, number), time.perf_counter()
        path = save_checkpoint(root, content, env_steps=number // 2, keep=KEEP)
        took.append(time.perf_counter() - began)
    size = sum(file.stat().st_size for file in path.iterdir())
    shutil.rmtree(root)
    return sorted(took)[2], size / 1e6


def arguments() -> tuple[argparse.Namespace, list[str]]:
    """The command line; what it does not know changes the config."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", nargs="?", default="atari/pong_impala")
    parser.add_argument("--kills", type=int, default=100, help="at random moments")
    parser.add_argument("--seed", type=int, default=0, help="of those moments")
    return parser.parse_known_args()


def kill_all(root: Path, state: State, options: argparse.Namespace) -> dict[str, Any]:
    """Every kill, and what came of them."""
    usual_s, size_mb = one_save(root, state)
    killer, chance = Killer(root, state), random.Random(options.seed)
    for _ in range(options.kills):
        killer.kill_after(chance.uniform(0, 4 * usual_s))  # two numbers, each written and replaced
    at_random = killer.take_found()
    operations = {
        kind: next(n for n in itertools.count() if not killer.kill_before(n, replaces=kind == "replacing"))
        for kind in ("replacing", "deleting the oldest")
    }
    return {
        "checkpoint_mb": round(size_mb, 1),
        "save_ms": round(1e3 * usual_s, 1),
        "kills_at_random_moments": options.kills,
        "found_after_them": at_random,
        "kills_before_each_file_operation": operations,
        "found_after_those": killer.take_found(),
        "unreadable": killer.unreadable,
    }


def main() -> int:
    """Kill and report."""
    options, overrides = arguments()
    state = learned(load_config(options.config, overrides))
    with tempfile.TemporaryDirectory() as folder:
        report = kill_all(Path(folder) / "checkpoints", state, options)
    print(json.dumps(report, indent=1))
    return 1 if report["unreadable"] else 0


if __name__ == "__main__":
    sys.exit(main())
