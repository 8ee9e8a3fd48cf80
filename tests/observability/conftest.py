"""A disk that is full, without one."""

import contextlib
import resource
from collections.abc import Callable, Iterator

import pytest


@contextlib.contextmanager
def _disk_of(num_bytes: int) -> Iterator[None]:
    _, hard = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.fixture
def disk_of() -> Callable[[int], contextlib.AbstractContextManager[None]]:
    """`with disk_of(n):` no file of this process and of those it starts grows beyond n bytes.

    The kernel then takes a part of a write and refuses the rest, as a full disk does (with EFBIG for ENOSPC).
    """
    return _disk_of
