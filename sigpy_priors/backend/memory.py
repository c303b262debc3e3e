"""How much fits into memory at once, and what to do when it did not fit.

GPUs are given as in SigPy and ``torch.Tensor.get_device``: -1 is the CPU.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from sigpy_priors.backend.arrays import Array

__all__ = ["fitting", "halving", "in_chunks", "main_memory_left", "out_of_memory"]

_Result = TypeVar("_Result")

CPU_BATCH = 8  # larger batches of images are no faster there
_WORDS = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "failed to allocate memory",
)
_SHARE = 0.8  # of the free memory; the rest is for what comes and goes


def out_of_memory(error: BaseException) -> bool:
    """Tell whether memory ran out: numpy's, torch's, cupy's or onnxruntime's words.

    SigPy's operators raise a RuntimeError from what they met.
    """
    if error.__cause__ is not None and out_of_memory(error.__cause__):
        return True
    text = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or "outofmemory" in type(error).__name__.lower()
        or (isinstance(error, RuntimeError) or "onnxruntime" in type(error).__module__)
        and any(words in text for words in _WORDS)
    )


def main_memory_left() -> int:
    """How much main memory this process may still take.

    Returns:
        int: bytes: the least of what the machine, the control group and the limit on
        the address space (``ulimit -v``) leave; large where none of them is known.
    """
    left = [1 << 62]
    for path, number in (
        ("/proc/meminfo", lambda s: 1024 * int(s.split("MemAvailable:")[1].split()[0])),
        ("/sys/fs/cgroup/memory.max", lambda s: int(s) - _used_by_group()),
    ):
        try:
            left.append(number(Path(path).read_text()))
        except (OSError, ValueError, IndexError):  # another system, or "max"
            continue
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            left.append(limit - pages * resource.getpagesize())
    except (ImportError, OSError, ValueError):
        pass
    return max(min(left), 0)


def _used_by_group() -> int:
    """Bytes of the control group that cannot be given back."""
    cached = 0
    for line in Path("/sys/fs/cgroup/memory.stat").read_text().splitlines():
        if line.startswith("inactive_file "):
            cached = int(line.split()[1])
    return int(Path("/sys/fs/cgroup/memory.current").read_text()) - cached


def fitting(function: Callable[[], object], gpu: int, count: int) -> int:
    """How many images fit into the memory that is free.

    Args:
        function (callable): does with one image what is to be done with many;
            called on a GPU only, to measure what it needs.
        gpu (int): the GPU, or -1.
        count (int): how many there are.

    Returns:
        int: from 1 to ``count``.
    """
    if gpu < 0:
        return min(count, CPU_BATCH)
    if count == 1:
        return 1
    need = max(_need(function, gpu), 1)
    return max(1, min(count, int(_SHARE * _free(gpu) / need)))


def halving(
    function: Callable[[int], _Result], size: int, remaining: int
) -> tuple[_Result, int]:
    """Do several things together, half as many whenever memory runs out.

    Args:
        function (callable): does n things, given n.
        size (int): as many as are tried.
        remaining (int): as many as there are.

    Returns:
        tuple: the result for ``min(size, remaining)`` things, and the size, smaller
        if memory ran out.

    Raises:
        Exception: what the function raises otherwise, or even for one thing.
    """
    while True:
        n = min(size, remaining)
        try:
            return function(n), size
        except Exception as e:
            if n <= 1 or not out_of_memory(e):
                raise
        # Only after the except block: until then the error's frames keep the
        # arrays alive that are to be freed.
        _release()
        size = n // 2


def in_chunks(
    function: Callable[..., _Result], arrays: Sequence[Array], size: int
) -> tuple[list[_Result], int]:
    """Map a function over the first axis of arrays, in chunks that fit.

    Args:
        function (callable): of chunks of the arrays.
        arrays (sequence of array): all of the same length.
        size (int): largest chunk; halved where memory runs out.

    Returns:
        tuple: list of results, one for no images too, and the chunk size in the end.
    """
    out, first, length = [], 0, len(arrays[0])
    while first < length or not out:
        rest = [a[first:] for a in arrays]
        result, size = halving(
            lambda n, rest=rest: function(*(a[:n] for a in rest)), size, length - first
        )
        out.append(result)
        first += size
    return out, size


def _need(function: Callable[[], object], gpu: int) -> int:
    """Bytes that a call takes at its peak, beyond what is in use."""
    import torch

    torch.cuda.reset_peak_memory_stats(gpu)
    before = torch.cuda.memory_allocated(gpu)
    function()
    return torch.cuda.max_memory_allocated(gpu) - before


def _free(gpu: int) -> int:
    """Bytes that torch can still get: the driver's, and those it keeps itself."""
    import torch

    _release()
    kept = torch.cuda.memory_reserved(gpu) - torch.cuda.memory_allocated(gpu)
    return torch.cuda.mem_get_info(gpu)[0] + kept


def _release() -> None:
    """Give cached memory back: what torch keeps cupy cannot use, and vice versa."""
    if "cupy" in sys.modules:
        sys.modules["cupy"].get_default_memory_pool().free_all_blocks()
    if "torch" in sys.modules:
        sys.modules["torch"].cuda.empty_cache()  # nothing without a GPU
