"""A measurement in a fresh process, which does not outlive the one that asked for it."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any, NoReturn, TypeVar

from rl_platform.runtime.errors import InputError

Found = TypeVar("Found")

_CONTEXT = multiprocessing.get_context("spawn")


def run_apart(function: Callable[..., Found], *arguments: Any, core: int | None = None) -> Found:
    """What `function` returns in a fresh process, which may use `core` alone if one is given.

    Raises:
      InputError: as the function raised it.
      RuntimeError: it raised anything else, and its traceback is above; or its process died.
    """
    receiver, sender = _CONTEXT.Pipe(duplex=False)
    child = _CONTEXT.Process(target=_answer, args=(sender, core, function, arguments))
    child.start()
    sender.close()
    try:
        answer = receiver.recv()
    except EOFError:
        child.join()
        raise RuntimeError(f"a measurement failed in its process (exit status {child.exitcode})") from None
    finally:
        child.terminate()
        child.join()
    if isinstance(answer, InputError):
        raise answer
    return answer


def _answer(sender: Connection, core: int | None, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        answer = function(*arguments)
    except InputError as error:
        answer = error
    sender.send(answer)


@contextmanager
def meanwhile(make_step: Callable[..., Callable[[], object]], *arguments: Any, core: int) -> Iterator[None]:
    """A process on `core` calls the step that `make_step` makes, again and again, from here to the end of the block."""
    begun = _CONTEXT.Event()
    child = _CONTEXT.Process(target=_repeat, args=(begun, os.getpid(), core, make_step, arguments))
    child.start()
    try:
        while not begun.wait(0.5):
            if not child.is_alive():
                raise RuntimeError(f"the process that keeps core {core} busy failed (exit status {child.exitcode})")
        yield
    finally:
        child.kill()
        child.join()


def _repeat(begun: Any, parent: int, core: int, make_step: Callable[..., Callable[[], object]],
            arguments: tuple[Any, ...]) -> None:  # fmt: skip
    os.sched_setaffinity(0, {core})
    step = make_step(*arguments)
    begun.set()
    while os.getppid() == parent:
        step()


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends this process as Ctrl-C does: its children first."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
