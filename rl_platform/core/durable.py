"""Writing what must be there after a crash of the machine."""

import os
from pathlib import Path


def write_synced(path: Path, content: bytes) -> None:
    """Write a file; it is on the disk when this returns (its name, once `sync_folder` has been called too)."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder, new and changed, to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
