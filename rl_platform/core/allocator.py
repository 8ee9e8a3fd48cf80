"""The C allocator's settings, which decide half of the learner's speed on a CPU."""

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8  # malloc.h of glibc


def keep_freed_memory() -> bool:
    """Have this process keep the memory that it frees, for its own later use. Returns False where it has no effect.

    By default glibc asks the kernel for every large block and gives it back when it is freed. The tensors of an update
    are large, so each update pays for tens of thousands of page faults. Memory then stays at the peak of use, which an
    update reaches every time anyway. Call it at the start of a process, before it has threads.

    Only for a process that does little but updates, whose blocks have the same sizes every time. Aligned blocks of many
    sizes and lives, as beside environments and inference, fragment glibc's heap without bound when nothing is given
    back: a rollout actor grew to 2.5 GB around 0.12 GB in use after half an hour, and a learner by a block of 17 MB now
    and then. Ray's actors use jemalloc (`rl_platform.runtime.ray_cluster.with_jemalloc`).
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all([mallopt(_MMAP_MAX, 0), mallopt(_TRIM_THRESHOLD, 2**31 - 1), mallopt(_ARENA_MAX, 1)])
