"""What a launch finds in the run's folder, and what it writes there before it begins."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from configs.explain import to_yaml
from configs.loader import load_config
from configs.schema import Config
from rl_platform.observability.files import write_atomic
from rl_platform.runtime.build import num_features
from rl_platform.runtime.changes import changes
from rl_platform.runtime.checkpoint import State, checkpoints, load_newest, set_aside_newer
from rl_platform.runtime.errors import InputError
from rl_platform.runtime.replay_states import sources_of

_CONFIG = "config.yaml"
_NUMBER = "launch"
_INCARNATIONS = 1_000_000
"""More than the rollout actors of one launch ever use."""


class Launch(NamedTuple):
    """One process's share of a run: the first is number 0, each that resumes it has the next number."""

    number: int
    restored: State | None
    """The checkpoint to go on from."""
    notes: tuple[str, ...]
    """What people should know, said once there is a log."""

    @property
    def first_incarnation(self) -> int:
        """Rollout actors begin with it, so that none repeats the random numbers of an earlier launch."""
        return self.number * _INCARNATIONS


def open_launch(config: Config, directory: Path, *, resume: bool) -> Launch:
    """Begin or resume the run in `directory`, which this process must own.

    InputError, with everything left as it was, if the folder holds a run that this launch does not go on with.
    """
    if not resume:
        _check_unused(directory)
        return _written(config, directory, Launch(0, None, ()))
    notes: list[str] = []
    restored = _restored(config, directory, notes.append)
    if restored is None:
        notes.append(f"{directory} holds no checkpoint to resume from: starting anew; earlier metrics are removed")
        return _written(config, directory, Launch(0, None, tuple(notes)))
    number = 1 + max(_last_number(directory), restored["run"]["launch"])  # the file's is older in a copied folder
    return _written(config, directory, Launch(number, restored, tuple(notes)))


def _check_unused(directory: Path) -> None:
    rows = directory / "metrics.jsonl"  # empty: a launch failed before it trained
    if checkpoints(directory / "checkpoints") or (rows.exists() and rows.stat().st_size):
        raise InputError(f"{directory} already holds a run: continue it with --resume, or name another --run.dir")


def _restored(config: Config, directory: Path, note: Callable[[str], None]) -> State | None:
    root = directory / "checkpoints"
    found = load_newest(root, note)
    if found is None:
        return None
    path, state = found
    if (directory / _CONFIG).exists():
        saved = load_config(str(directory / _CONFIG))
        for line in changes(saved, config):
            note(line)
        _check_contents_fit(saved, config, state)
    set_aside_newer(root, path)
    note(f"resuming from {path}")
    return state


def _check_contents_fit(saved: Config, config: Config, state: State) -> None:
    """InputError if replayed columns are to be restored that `config` has no room for, or would misread."""
    held = {name: len(source["ring"]["serial"]) for name, source in sources_of(state) if "ring" in source}
    if not config.replay.checkpoint or not held:
        return
    facts = [("actors.unroll_length", saved.actors.unroll_length, config.actors.unroll_length),
             ("features of a step (replay.features)", _features(saved), _features(config))]  # fmt: skip
    for index, source in enumerate(config.replay.sources[1:], 1):
        was = held.get(f"{source.kind}_{index}", source.capacity)
        facts.append((f"replay.sources.{index}.capacity", was, source.capacity))
    for what, was, now in facts:
        if was != now:
            raise InputError(f"{what}: {now} instead of {was}: the run's replay contents do not fit; "
                             "set it back, or resume without them: --replay.checkpoint=false")  # fmt: skip


def _features(config: Config) -> str:
    """How many features of a step are kept, and how they are made: features made otherwise cannot be compared."""
    count = num_features(config)
    if count == 0 or config.replay.features is None:
        return f"{count} unprojected"
    return f"{count} projected by run.seed {config.run.seed}"


def _last_number(directory: Path) -> int:
    path = directory / _NUMBER
    return int(path.read_text()) if path.exists() else 0


def _written(config: Config, directory: Path, launch: Launch) -> Launch:
    write_atomic(directory / _NUMBER, f"{launch.number}\n".encode())
    write_atomic(directory / _CONFIG, to_yaml(config).encode())
    return launch
