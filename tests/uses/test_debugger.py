"""A debugger in a run of one process: a breakpoint in the learner, reached over a pipe as a person would type."""

import ast
import subprocess
import sys

import pytest

from tests.project.tree import ROOT
from tests.runtime.launched import INLINE, SMALL, last_state

LEARNER = ROOT / "learners" / "learner.py"


def first_line_of(function: str) -> int:
    """Of its body, its docstring left out."""
    tree = ast.parse(LEARNER.read_text())
    (found,) = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == function]
    return found.body[1].lineno


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_pdb_stops_in_an_update_and_lets_the_run_go_on(tmp_path):
    train = ["rl_platform.cli", "train", "classic/cartpole_impala", *SMALL, *INLINE, f"--run.dir={tmp_path}"]
    typed = [
        f"tbreak {LEARNER}:{first_line_of('update')}",
        "continue",
        "p 'rewards of a batch:', batch.steps.reward.shape, type(self).__name__",
        "continue",
    ]
    session = subprocess.run(
        [sys.executable, "-m", "pdb", "-m", *train, "--run.total_env_steps=800"],
        input="\n".join([*typed, "quit", ""]), capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert "('rewards of a batch:', (8, 10), 'Learner')" in session.stdout, session.stdout + session.stderr
    assert "done: " in session.stdout
    assert last_state(tmp_path)["env_steps"] >= 800
