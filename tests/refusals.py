"""How a mistake on the command line is answered."""

from collections.abc import Iterable, Sequence

import pytest

from rl_platform.cli import main


def assert_refused(capsys: pytest.CaptureFixture, arguments: Sequence[str], words: Iterable[str]) -> None:
    """Status 2, nothing on stdout, and one line on stderr that begins with the program and has all the words."""
    try:
        status = main(list(arguments))
    except SystemExit as exit_:
        status = exit_.code
    shown = capsys.readouterr()
    assert (status, shown.out) == (2, "")
    assert shown.err.count("\n") == 1, shown.err
    assert shown.err.startswith("rl-platform")
    assert all(word in shown.err for word in words), shown.err
