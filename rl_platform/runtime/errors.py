"""What a user got wrong, in one line that says how to mend it."""


class InputError(ValueError):
    """Bad input found outside the config: a folder, a checkpoint, a run."""
