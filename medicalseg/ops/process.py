"""Threads and memory of the process.

Importing Paddle sets OMP_NUM_THREADS to 1, and the C library returns every large block to the kernel after each
operation, so that half of an eager training step on a CPU is page faults. Both are put right here.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

from medicalseg.errors import UserError

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_chosen_threads: int | None = None
_users_threads = os.environ.get("OMP_NUM_THREADS", "") if "paddle" not in sys.modules else ""


def available_cores() -> int:
    """Cores this process may run on, at least 1."""
    try:
        return max(1, len(os.sched_getaffinity(0)))
    except AttributeError:
        return os.cpu_count() or 1


def default_threads() -> int:
    """Threads for one rank: what was chosen, MEDICALSEG_NUM_THREADS, the user's OMP_NUM_THREADS, its share of cores.

    Under `paddle.distributed.launch` OMP_NUM_THREADS is the launcher's and not the user's, so it is not asked.
    """
    if _chosen_threads is not None:
        return _chosen_threads
    launched = "PADDLE_TRAINER_ID" in os.environ
    for value in (os.environ.get("MEDICALSEG_NUM_THREADS", ""), "" if launched else _users_threads):
        if value.isdigit() and int(value) > 0:
            return int(value)
    ranks = os.environ.get("PADDLE_LOCAL_SIZE", "1")
    return max(1, available_cores() // max(1, int(ranks) if ranks.isdigit() else 1))


def choose_threads(threads: int | None) -> None:
    """Fix the number of threads of this process, over environment variables; None leaves the choice as it is.

    Raises:
        UserError: if it is less than 1.
    """
    global _chosen_threads
    if threads is not None:
        if threads < 1:
            raise UserError(f"--cpu_threads must be at least 1, got {threads}")
        _chosen_threads = threads


def configure_process(threads: int | None = None) -> int:
    """Import Paddle and set the number of OpenMP threads and the allocator of this process.

    Args:
        threads: see `choose_threads`.

    Returns:
        The number of threads.

    Raises:
        UserError: if `threads` is less than 1.
    """
    choose_threads(threads)
    keep_large_blocks()
    import paddle  # noqa: F401

    set_openmp_threads(default_threads())
    return default_threads()


def plain_threads() -> int:
    """OpenMP threads for Paddle's own kernels: the user's OMP_NUM_THREADS, else Paddle's default of 1.

    With more, Paddle 3.3.1's eager 3D convolutions become three times slower after the first optimizer step.
    """
    return int(_users_threads) if _users_threads.isdigit() and int(_users_threads) > 0 else 1


def keep_large_blocks() -> bool:
    """Tell glibc to reuse large blocks instead of returning them to the kernel; False where there is no glibc."""
    try:
        libc = ctypes.CDLL("libc.so.6")
        return bool(
            libc.mallopt(_MMAP_MAX, 0)
            and libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
            and libc.mallopt(_TOP_PAD, 64 * 2**20)
        )
    except (OSError, AttributeError):
        return False


def set_openmp_threads(threads: int) -> None:
    """Set the threads that OpenMP gives to work of the calling thread.

    Paddle's own libraries run on Intel's OpenMP, the oneDNN beside them may run on GNU's.
    """
    from medicalseg.ops.library import paddle_libraries

    folder = paddle_libraries()
    intel = [str(folder / "libiomp5.so")] if folder else []
    for name in (*intel, "libgomp.so.1"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(name).omp_set_num_threads(threads)


def openmp_threads() -> int:
    """Threads that OpenMP gives to work of the calling thread; 1 where Paddle's runtime is not found."""
    from medicalseg.ops.library import paddle_libraries

    folder = paddle_libraries()
    with contextlib.suppress(OSError, AttributeError):
        if folder is not None:
            return max(1, int(ctypes.CDLL(str(folder / "libiomp5.so")).omp_get_max_threads()))
    return 1
