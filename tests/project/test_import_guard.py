"""`import rl_platform` in real processes, beside other people's `models/` and `configs/`."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rl_platform import _import_guard
from tests.project.tree import ROOT

IMPORT = "import rl_platform"
SIBLINGS = _import_guard.REQUIRED


def run(code: str, cwd: Path, path: Path | None = None) -> subprocess.CompletedProcess:
    """Run code in a new Python that looks in `cwd`, then in `path` (None: in site-packages)."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [sys.executable, "-c", code]
    if path is not None:
        env["PYTHONPATH"] = str(path)
        command.insert(1, "-S")
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=60, check=False)


def refusal(result: subprocess.CompletedProcess) -> str:
    """The one line that the refused import ended with."""
    assert result.returncode == 1, result.stdout
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: rl_platform needs its package"), result.stderr
    return last


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder with our guard and empty siblings, as a wheel or an unpacked working_dir lays them out."""
    folder = tmp_path / "installed"
    (folder / "rl_platform").mkdir(parents=True)
    for name in ("__init__.py", "_import_guard.py"):
        shutil.copy(ROOT / "rl_platform" / name, folder / "rl_platform")
    for name in SIBLINGS:
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise AssertionError('the guard imported a sibling')\n")
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's folder."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def test_a_clean_folder_is_accepted(installed, project):
    result = run(f"{IMPORT}; print(rl_platform.__file__)", cwd=project, path=installed)
    assert result.stdout.strip() == str(installed / "rl_platform" / "__init__.py"), result.stderr


def test_the_checkout_is_accepted():
    assert run(IMPORT, cwd=ROOT).returncode == 0


def test_a_linked_installation_is_accepted(installed, project, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(installed)
    result = run(f"import sys; sys.path.insert(0, {str(link)!r}); {IMPORT}", cwd=project, path=installed)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", SIBLINGS)
def test_a_package_of_the_user_is_named(installed, project, name):
    (project / name).mkdir()
    (project / name / "__init__.py").touch()
    line = refusal(run(IMPORT, cwd=project, path=installed))
    assert f"{installed / name}, but {project / name} shadows it: rename that one, or keep {project} out" in line


def test_a_module_file_of_the_user_is_named(installed, project):
    (project / "learners.py").touch()
    assert f"but {project / 'learners.py'} shadows it" in refusal(run(IMPORT, cwd=project, path=installed))


def test_a_module_that_was_imported_before_is_named(installed, project):
    (project / "models.py").touch()
    code = f"import sys, models; sys.path.remove(''); {IMPORT}"
    assert f"but {project / 'models.py'} shadows it" in refusal(run(code, cwd=project, path=installed))


def test_a_module_made_by_a_program_is_named(installed, project):
    code = f"import sys, types; sys.modules['models'] = types.ModuleType('models'); {IMPORT}"
    assert "but sys.modules['models'] shadows it" in refusal(run(code, cwd=project, path=installed))


def test_a_folder_of_data_shadows_nothing(installed, project):
    (project / "models").mkdir()
    (project / "models" / "weights.bin").touch()
    assert run(IMPORT, cwd=project, path=installed).returncode == 0


def test_a_folder_of_data_shadows_nothing_of_the_editable_installation(project):
    """`make setup` installs one; the default kind, an import hook, would fail here."""
    (project / "models").mkdir()
    result = run(f"{IMPORT}; print(rl_platform.__file__)", cwd=project)
    assert result.stdout.strip() == str(ROOT / "rl_platform" / "__init__.py"), result.stderr


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_missing_sibling_is_named(installed, project, elsewhere):
    shutil.rmtree(installed / "replay")
    if elsewhere:
        (project / "replay.py").touch()
    assert f"'replay' at {installed / 'replay'}, which is missing" in refusal(run(IMPORT, cwd=project, path=installed))


def test_tune_experiments_counts_where_it_is_installed(installed, project):
    (project / "tune_experiments.py").touch()
    assert run(IMPORT, cwd=project, path=installed).returncode == 0
    (installed / "tune_experiments").mkdir()
    (installed / "tune_experiments" / "__init__.py").touch()
    assert "tune_experiments.py shadows it" in refusal(run(IMPORT, cwd=project, path=installed))


def test_an_unpacked_archive_of_the_tree_is_accepted(project, tmp_path):
    """What a Ray working_dir is: the tree, zipped and unpacked elsewhere, without .git."""
    packed, unpacked = tmp_path / "packed", tmp_path / "unpacked"
    for name in ("rl_platform", *SIBLINGS):
        shutil.copytree(ROOT / name, packed / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.unpack_archive(shutil.make_archive(str(tmp_path / "tree"), "zip", packed), unpacked)
    result = run(f"{IMPORT}; print(rl_platform.__file__)", cwd=project, path=unpacked)
    assert result.stdout.strip() == str(unpacked / "rl_platform" / "__init__.py"), result.stderr


def test_the_import_is_light(project):
    """Needs nothing but the standard library, in under 50 ms (the fastest of five, the machine may be busy)."""
    code = """
import json, sys, time
before, start = set(sys.modules), time.perf_counter()
import rl_platform
seconds = time.perf_counter() - start
print(json.dumps([seconds, sorted({name.partition(".")[0] for name in set(sys.modules) - before})]))
"""
    answers = [json.loads(run(code, cwd=project, path=ROOT).stdout) for _ in range(5)]
    assert all(set(new) <= {"rl_platform", *sys.stdlib_module_names} for _, new in answers), answers
    assert min(seconds for seconds, _ in answers) < 0.050
