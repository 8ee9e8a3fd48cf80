"""Where the project's own Python files are, for the tests that read them."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ("rl_platform", "actors", "replay", "learners", "models", "configs", "tune_experiments")
BESIDE = ("tests", "benchmarks", "examples")


class Source(NamedTuple):
    """One Python file: its path below the root, its dotted module name, its text and syntax tree."""

    path: Path
    module: str
    text: str
    tree: ast.Module


def sources(*folders: str) -> Iterator[Source]:
    """Every Python file of the given top-level folders; absent folders are skipped."""
    for file in sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py")):
        path, text = file.relative_to(ROOT), file.read_text(encoding="utf-8")
        parts = path.parent.parts if file.name == "__init__.py" else path.with_suffix("").parts
        yield Source(path, ".".join(parts), text, ast.parse(text, str(path)))
