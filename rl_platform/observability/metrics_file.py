"""metrics.jsonl: one JSON object a line, in the order of time."""

import json
from pathlib import Path
from typing import Any

from rl_platform.observability.files import write_atomic


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The whole rows of a metrics file, oldest first; a torn line (a writer was killed in it) is left out."""
    rows = (_parse(line) for line in path.read_bytes().splitlines(keepends=True))
    return [row for row in rows if row is not None]


def keep_rows_until(path: Path, env_steps: int) -> None:
    """Remove torn lines and rows newer than `env_steps`, so that a run resumed there continues one monotone series."""
    if not path.exists():
        return
    lines = path.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if (row := _parse(line)) is not None and row["env_steps"] <= env_steps]
    if len(kept) < len(lines):
        write_atomic(path, b"".join(kept))


def _parse(line: bytes) -> dict[str, Any] | None:
    """The row of a line; None when it is torn: no line break, or not a JSON object with env_steps."""
    if not line.endswith(b"\n"):
        return None
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and "env_steps" in row else None
