"""The wheel: what is in it, and that it runs from a folder with its own `models/`, `configs/` and `tests/`."""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.project.tree import ROOT, SHIPPED


def checked(*command: str | Path, cwd: Path) -> str:
    """The standard output of a command that must succeed, run without PYTHON… variables."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    result = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=240, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the tree, so that no build folder appears beside the sources."""
    copy, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    for name in (name for name in SHIPPED if (ROOT / name).exists()):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    offline = ("--quiet", "--no-deps", "--no-build-isolation")
    checked(sys.executable, "-m", "pip", "wheel", ".", *offline, "--wheel-dir", out, cwd=copy)
    (built,) = out.glob("rl_platform-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a fresh environment: the wheel, and below it the dependencies of the present environment.

    They come as a plain path entry; .pth files in there, that of an editable install included, are not followed.
    """
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False, symlinks=True)
    python, version = home / "bin" / "python", f"python{sys.version_info.major}.{sys.version_info.minor}"
    checked(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", wheel, cwd=home)
    dependencies = home / "lib" / version / "site-packages" / "dependencies.pth"
    dependencies.write_text(sysconfig.get_path("purelib") + "\n")
    return home / "bin"


def test_envpool_is_the_same_one_wherever_a_user_is_told_how_to_install_it():
    places = ("Makefile", "actors/envs/pool.py", "docs/decisions/dependencies.md")
    told = [re.findall(r"(?:envpool[\w-]*|dm-env|optree)==[\d.]+", (ROOT / place).read_text()) for place in places]
    assert len(told[0]) == 6 and told[0] == told[1] == told[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's folder whose packages bear the names of ours and refuse to be imported."""
    for name in ("models", "configs", "learners", "tests"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise AssertionError('imported the {name} of the user')\n")
    return tmp_path


def shipped_files() -> set[str]:
    files = (file for name in SHIPPED for kind in ("*.py", "*.yaml") for file in (ROOT / name).rglob(kind))
    return {str(file.relative_to(ROOT)) for file in files}


def test_the_wheel_holds_every_module_and_experiment_and_no_test(wheel):
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert "configs/atari/pong_impala.yaml" in inside
    assert inside == shipped_files()


def test_the_command_reads_a_shipped_experiment_from_a_project_with_our_names(installed, project):
    resolved = checked(installed / "rl-platform", "config", "atari/pong_impala", cwd=project)
    assert "pong" in resolved


@pytest.mark.slow
def test_the_command_trains_over_ray_from_a_project_with_our_names(installed, project):
    """Ray puts the driver's working directory first in its workers' sys.path: ours must be imported by then."""
    options = {"cluster.mode": "ray", "run.dir": "run", "run.total_env_steps": "2000", "logging.tensorboard": "false"}
    arguments = [word for key, value in options.items() for word in (f"--{key}", value)]
    checked(installed / "rl-platform", "train", "classic/cartpole_impala", *arguments, cwd=project)
    assert json.loads((project / "run" / "summary.json").read_text())["env_steps"] >= 2000


def test_the_wheel_is_what_runs(installed, project):
    """And not the checkout or an editable install: -P leaves the user's folder out of sys.path, as the command does."""
    where = checked(installed / "python", "-P", "-c", "import rl_platform; print(rl_platform.__file__)", cwd=project)
    assert Path(where.strip()).is_relative_to(installed.parent)


def test_every_dependency_is_pinned_at_the_version_in_use():
    pins = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if not line.startswith("#"):
            name, version = line.split("==")
            pins[canonicalize_name(name)] = version
    in_use = {name: Version(importlib.metadata.version(name)).public for name in dependencies("rl-platform", "dev")}
    assert {name: pins.get(name) for name in in_use} == in_use


def test_every_dependency_can_be_imported(tmp_path):
    """What `pip check` cannot see: a package that refuses its neighbour's version only when it is imported."""
    modules = (
        "ray.rllib ray.tune torch gymnasium ale_py procgen numpy pyarrow tensorboard pydantic yaml rich safetensors"
    )
    code = "; ".join(
        f"import {name}"
        for name in [*modules.split(), "av", "matplotlib.pyplot", "PIL", "minigrid", "gym_super_mario_bros"]
    )
    checked(sys.executable, "-W", "ignore", "-c", code, cwd=tmp_path)


def dependencies(name: str, extra: str) -> set[str]:
    """Everything that `name[extra]` needs in this environment, at any depth."""
    found, todo = set(), [(name, ("", extra))]
    while todo:
        parent, extras = todo.pop()
        for text in importlib.metadata.requires(parent) or []:
            child = Requirement(text)
            wanted = child.marker is None or any(child.marker.evaluate({"extra": extra}) for extra in extras)
            entry = (canonicalize_name(child.name), ("", *sorted(child.extras)))
            if wanted and entry not in found:
                found.add(entry)
                todo.append(entry)
    return {name for name, _ in found}
