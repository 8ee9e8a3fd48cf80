"""The dependency direction of docs/architecture.md, read from every import, those inside functions included."""

import ast
from collections.abc import Iterator

import pytest

from tests.project.tree import ROOT, SHIPPED, Source, sources

LAYERS = (
    ("configs",),
    ("rl_platform.core",),
    ("actors", "replay", "models", "learners"),
    ("rl_platform.observability",),
    ("rl_platform.runtime",),
    # `rl_platform` itself: __init__ and the import guard, the public face.
    ("rl_platform", "rl_platform.cli", "tune_experiments"),
)
RANK = {package: rank for rank, packages in enumerate(LAYERS) for package in packages}
MAY_IMPORT_RAY = ("rl_platform.runtime", "rl_platform.observability", "tune_experiments")


def package_of(module: str) -> str | None:
    """The innermost package that `module` lies in; None for other people's modules."""
    packages = [name for name in RANK if module == name or module.startswith(f"{name}.")]
    return max(packages, key=len, default=None)


def imports(source: Source) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything the file imports: statements anywhere, and import_module("literal")."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute(source, node)
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and called(node) in ("import_module", "__import__"):
            yield from ((node.lineno, arg.value) for arg in node.args[:1] if isinstance(arg, ast.Constant))


def absolute(source: Source, node: ast.ImportFrom) -> str:
    """The module that a from-import names, its leading dots resolved."""
    if not node.level:
        return node.module or ""
    package = source.module.split(".") if source.path.name == "__init__.py" else source.module.split(".")[:-1]
    base = package[: len(package) - node.level + 1]
    return ".".join([*base, node.module] if node.module else base)


def called(node: ast.Call) -> str:
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def breaches(source: Source) -> list[str]:
    """One line for each import of the file that goes against the direction."""
    here = package_of(source.module)
    found = []
    for line, name in imports(source):
        reason = breach(here, name)
        if reason:
            found.append(f"{source.path}:{line}: {here} imports {name}: {reason}")
    return found


def breach(here: str | None, name: str) -> str | None:
    """Why the package `here` may not import `name`; None if it may."""
    if here is None:
        return "this package belongs to no layer: give it a place in docs/architecture.md and here"
    if name.split(".")[0] == "ray":
        return None if here in MAY_IMPORT_RAY else "Ray belongs to the runtime and what lies to its right"
    if here == "rl_platform.core" and (name + ".").startswith("torch.optim."):
        return "the core knows no optimiser"
    there = package_of(name)
    if there is None or there == here:
        return None
    if RANK[there] > RANK[here]:
        return "left never imports right"
    return "packages of one layer never import each other" if RANK[there] == RANK[here] else None


def test_every_import_follows_the_direction():
    found = [line for source in sources(*SHIPPED) for line in breaches(source)]
    assert not found, "\n".join(found)


def test_every_shipped_folder_is_a_package():
    modules = {file.parent for name in SHIPPED for file in (ROOT / name).rglob("*.py")}
    missing = [folder.relative_to(ROOT) for folder in modules if not (folder / "__init__.py").exists()]
    assert not missing, f"without __init__.py the wheel leaves them out: {sorted(map(str, missing))}"


@pytest.mark.parametrize(
    ("module", "text", "refused"),
    [
        ("learners.vtrace", "from rl_platform.core.types import Batch", False),
        ("learners.vtrace", "from learners import returns", False),
        ("learners.vtrace", "import models", True),
        ("learners.vtrace", "def f():\n    from rl_platform.runtime.build import build", True),
        ("learners.vtrace", "from rl_platform import runtime", True),
        ("learners.vtrace", "import torch.optim", False),
        ("actors.worker", "import importlib\nimportlib.import_module('ray.util')", True),
        ("actors.worker", "import rayleigh", False),
        ("rl_platform.core.types", "from torch import optim", True),
        ("rl_platform.core.types", "from configs.schema import Config", False),
        ("rl_platform.core.types", "from ..runtime import build", True),
        ("rl_platform.core.types", "from . import spec", False),
        ("configs.schema", "from rl_platform.core.types import Batch", True),
        ("rl_platform.runtime.build", "import ray, learners.learner", False),
        ("rl_platform.cli", "import ray", True),
        ("rl_platform.cli", "from tune_experiments import pong", True),
        ("newcomer", "import torch", True),
    ],
)
def test_the_reading_of_imports(module, text, refused):
    path = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    assert bool(breaches(Source(path, module, text, ast.parse(text)))) == refused
