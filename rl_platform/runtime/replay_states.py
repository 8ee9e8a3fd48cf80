"""The replay sources in checkpoints: a section `replay`, with the state of every rank's sources by name.

    state["replay"]["rank_0"]["elite_1"]    draws, rng; with `replay.checkpoint` also ring, segments

The columns themselves lie in `<run>/replay/rank_0/elite_1/`, in segment files that several checkpoints may name.
"""

import json
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from replay.contents import ReplayContents
from replay.source import ReplaySource
from rl_platform.runtime.checkpoint import STATE_FILE, State, checkpoints
from rl_platform.runtime.run_log import log


def rank_name(rank: int) -> str:
    """What a rank's part of the section is called, and its folder."""
    return f"rank_{rank}"


def section(states: Mapping[int, State | None]) -> State:
    """The section `replay` of a checkpoint, from the state of each rank; none where there are no replay sources."""
    present = {rank_name(rank): state for rank, state in states.items() if state}
    return {"replay": present} if present else {}


def of_rank(checkpoint: State | None, rank: int) -> State | None:
    """What a checkpoint says of a rank's sources; empty: nothing. None: there is no checkpoint."""
    return None if checkpoint is None else checkpoint.get("replay", {}).get(rank_name(rank), {})


def sources_of(checkpoint: State) -> Iterator[tuple[str, State]]:
    """Name and state of every source of every rank in a checkpoint."""
    for rank in checkpoint.get("replay", {}).values():
        yield from rank.items()


def restore(contents: ReplayContents, sources: Sequence[ReplaySource], state: State | None) -> list[str]:
    """Have a rank's sources go on from `state` (None: they are fresh); returns lines that people should know."""
    if not sources or state is None:
        return []
    if not state:
        return ["nothing is saved of the replay sources: they begin empty"]
    lines: list[str] = []
    contents.load_state_dict(sources, state, lines.append)
    return lines + [f"replay source {source.name} goes on with {len(source.ring)} columns" for source in sources]


def saved(contents: ReplayContents, sources: Sequence[ReplaySource], needed: Set[str],
          lock: AbstractContextManager[Any]) -> State:  # fmt: skip
    """The state of a rank's sources, as `ReplayContents.state_dict`; empty, and said, if the disk refuses."""
    try:
        return contents.state_dict(sources, needed=needed, lock=lock)
    except OSError as error:
        log.error("replay contents not written (%s): the checkpoint is without them", error)
        return {}


def segment_files(checkpoint: State) -> Set[str]:
    """The segment files that a checkpoint names. Files of one name have the same contents, whichever source's."""
    return frozenset(file for _, source in sources_of(checkpoint) for file in source.get("segments", {}))


def segment_files_below(root: Path) -> Set[str]:
    """The segment files that the checkpoints under `root` name."""
    return frozenset(file for path in checkpoints(root) for file in segment_files(_values(path)))


def _values(checkpoint: Path) -> State:
    """All but its arrays; empty if it is damaged or just being deleted: nobody will resume from it."""
    try:
        return json.loads((checkpoint / STATE_FILE).read_bytes())
    except (OSError, ValueError):
        return {}
