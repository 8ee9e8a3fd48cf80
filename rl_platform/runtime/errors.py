"""What a user got wrong, in one line that says how to mend it."""

from collections.abc import Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """Bad input found outside the config: a folder, a checkpoint, a run, a device."""


@contextmanager
def blaming(what: str, *kinds: type[Exception]) -> Iterator[None]:
    """Errors of these kinds are due to `what` the user gave: they become an InputError of one line about it."""
    try:
        yield
    except InputError:
        raise
    except kinds as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
        raise InputError(f"{what}: {' '.join(reason.split())}") from error
