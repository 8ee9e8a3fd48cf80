"""Checkpoints are data: safetensors and JSON, named by env steps, valid only with their manifest.

    checkpoints/<env_steps>/  <section>.safetensors …  state.json  manifest.json (sha256 of the others, written last)

A checkpoint is written beside its final name and renamed when complete, so a process killed at any time leaves either
the whole of it or nothing that counts. One that replaces another of the same number first renames that to
`<env_steps>.old`, which counts as long as it is there.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from rl_platform.core.durable import sync_folder, write_synced
from rl_platform.runtime.errors import InputError

State = dict[str, Any]
"""Nested dicts with string keys; leaves are NumPy arrays or JSON values."""

_FORMAT = 1
_MANIFEST = "manifest.json"
STATE_FILE = "state.json"
"""Everything that is not an array."""
_NAME = re.compile(r"(\d+)(\.old)?")


class CheckpointError(InputError):
    """A checkpoint that cannot be used, with the reason."""


def save_checkpoint(root: Path, state: State, *, env_steps: int, keep: int) -> Path:
    """Write `state` to `root/<env_steps>` and delete all but the newest `keep` checkpoints. Returns its path."""
    unfinished = root / f".unfinished-{env_steps}-{os.getpid()}"
    try:
        _write_all(unfinished, state, env_steps)
        final = _put_in_place(unfinished, root / str(env_steps))
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)  # is there only if the disk refused
    sync_folder(root)
    _forget_old(root, keep, final)
    return final


def load_checkpoint(path: Path) -> State:
    """Read and verify one checkpoint; CheckpointError names the file that is missing, damaged or of another format."""
    manifest = _manifest(path)
    arrays: dict[str, np.ndarray] = {}
    state: State = {}
    for name, digest in manifest["sha256"].items():
        content = _verified(path, name, digest)
        if name.endswith(".safetensors"):
            arrays |= _tensors(path / name, content)
        else:
            state = _values(path / name, content)
    for dotted, array in arrays.items():
        _put(state, dotted.split("/"), array)
    return state


def checkpoints(root: Path) -> list[Path]:
    """Finished checkpoints under `root`, newest first."""
    named = [(match, path) for path in root.glob("*") if (match := _NAME.fullmatch(path.name))]
    found = [(int(match[1]), match[2] is None, path) for match, path in named if (path / _MANIFEST).exists()]
    return [path for _, _, path in sorted(found, reverse=True)]


def load_newest(root: Path, report: Callable[[str], None]) -> tuple[Path, State] | None:
    """The newest checkpoint that is whole; each damaged one is reported and passed over. None if there are none.

    Raises CheckpointError when there are checkpoints but none of them is whole.
    """
    candidates = checkpoints(root)
    for path in candidates:
        try:
            return path, load_checkpoint(path)
        except CheckpointError as error:
            report(f"checkpoint passed over: {error}")
    if candidates:
        raise CheckpointError(f"{root}: none of its {len(candidates)} checkpoints is whole")
    return None


def set_aside_newer(root: Path, chosen: Path) -> None:
    """Rename the checkpoints that are newer than `chosen`, all damaged, to `damaged-…`: they count no longer."""
    found = checkpoints(root)
    for path in found[: found.index(chosen)]:
        aside = root / f"damaged-{path.name}"
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)


def _write_all(folder: Path, state: State, env_steps: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    digests = {name: _write(folder / name, content) for name, content in _files(state)}
    _write(folder / _MANIFEST, _json({"format": _FORMAT, "env_steps": env_steps, "sha256": digests}))
    sync_folder(folder)


def _put_in_place(finished: Path, final: Path) -> Path:
    """Rename; at every moment there is a whole checkpoint of this number if there was one before."""
    old = final.with_name(f"{final.name}.old")
    if final.exists():
        _delete(old)
        final.rename(old)
    finished.rename(final)
    _delete(old)
    return final


def _files(state: State) -> Iterator[tuple[str, bytes]]:
    """One safetensors file for each top-level section that holds arrays, and state.json for the rest."""
    arrays = dict(_arrays(state, ()))
    for section in sorted({path[0] for path in arrays}):
        yield (
            f"{section}.safetensors",
            save_tensors({"/".join(path): array for path, array in arrays.items() if path[0] == section}),
        )
    yield STATE_FILE, _json(_without_arrays(state))


def _arrays(state: State, prefix: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], np.ndarray]]:
    for key, value in state.items():
        assert "/" not in key, f"state key {key!r} may not contain '/'"
        if isinstance(value, dict):
            yield from _arrays(value, (*prefix, key))
        elif isinstance(value, np.ndarray):
            yield (*prefix, key), np.require(value, requirements="C")  # ascontiguousarray would add an axis to scalars


def _without_arrays(state: State) -> State:
    return {
        key: _without_arrays(value) if isinstance(value, dict) else value
        for key, value in state.items()
        if not isinstance(value, np.ndarray)
    }


def _put(state: State, path: list[str], array: np.ndarray) -> None:
    for key in path[:-1]:
        state = state.setdefault(key, {})
    state[path[-1]] = array


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, allow_nan=False).encode()


def _write(path: Path, content: bytes) -> str:
    write_synced(path, content)
    return hashlib.sha256(content).hexdigest()


def _forget_old(root: Path, keep: int, just_written: Path) -> None:
    older = [path for path in checkpoints(root) if path != just_written]
    for path in older[keep - 1 :]:
        _delete(path)
    for path in root.iterdir():
        if path.name.startswith(".unfinished-") or _half_deleted(path):
            shutil.rmtree(path, ignore_errors=True)


def _half_deleted(path: Path) -> bool:
    return _NAME.fullmatch(path.name) is not None and not (path / _MANIFEST).exists()


def _delete(checkpoint: Path) -> None:
    (checkpoint / _MANIFEST).unlink(missing_ok=True)  # first: half a deletion must not look like a checkpoint
    shutil.rmtree(checkpoint, ignore_errors=True)


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((path / _MANIFEST).read_bytes())
        known = manifest["format"] == _FORMAT and isinstance(manifest["sha256"], dict)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path / _MANIFEST} cannot be read ({error})") from None
    if not known:
        raise CheckpointError(f"{path / _MANIFEST} is not of format {_FORMAT}")
    return manifest


def _verified(folder: Path, name: str, digest: str) -> bytes:
    if Path(name).name != name:
        raise CheckpointError(f"{folder / _MANIFEST} names a file outside its checkpoint: {name!r}")
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise CheckpointError(f"{folder / name} cannot be read ({error.strerror})") from None
    if hashlib.sha256(content).hexdigest() != digest:
        raise CheckpointError(f"{folder / name} is damaged: its sha256 is not the one in {_MANIFEST}")
    return content


def _values(path: Path, content: bytes) -> State:
    try:
        return json.loads(content)
    except ValueError as error:
        raise CheckpointError(f"{path} is not a JSON file ({error})") from None


def _tensors(path: Path, content: bytes) -> dict[str, np.ndarray]:
    try:
        return load_tensors(content)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not a safetensors file ({error})") from None
