"""Arrays between numpy, cupy and torch, and complex images as real channels.

This is the only file that moves arrays. DLPack keeps a cupy array on its own
device; a numpy array shares its memory with the torch tensor where it can.

On a GPU, torch and cupy each have a stream that they put work on, and torch
gives memory to others as soon as its own stream is done with it. So torch works
on cupy's stream (:func:`on_stream_of`) wherever it works on cupy's arrays: then
nothing has to wait, and nothing can overtake.

In a forked process torch computes with one thread; set more there, after the first call,
if its parent has not used torch.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import sigpy as sp

if TYPE_CHECKING:
    import torch

__all__ = [
    "Array",
    "column",
    "is_torch",
    "to_torch",
    "from_torch",
    "to_sigpy",
    "on_stream_of",
    "to_channels",
    "from_channels",
]

Array: TypeAlias = Any
"""A numpy, cupy or torch array, for annotations; shapes are in the docstrings.

Not their union: cupy may be missing, and no checker could follow arithmetic of
arrays that are of one kind, but of any one.
"""


_process = os.getpid()


def _after_fork() -> None:
    """One thread for torch in a process that was forked from this one.

    Torch's threads are not in it, and would be waited for without end.
    """
    global _process
    if os.getpid() != _process:
        import torch

        torch.set_num_threads(1)
        _process = os.getpid()


def is_torch(x: object) -> bool:
    """Tell a torch tensor without importing torch."""
    return type(x).__module__.partition(".")[0] == "torch"


def column(values: Sequence[float] | np.ndarray, like: Array) -> Array:
    """A number for each member of a batch, shaped to multiply the batch.

    Args:
        values (sequence of float): N numbers, on the CPU.
        like (array): numpy or cupy array (N, ...).

    Returns:
        array: real, (N, 1, ...), of the precision and on the device of ``like``.
    """
    v = np.asarray(values, like.real.dtype).reshape((-1,) + (1,) * (like.ndim - 1))
    return sp.to_device(v, sp.get_device(like))


def to_torch(x: Array) -> torch.Tensor:
    """View a numpy, cupy or torch array as a torch tensor on its own device.

    Args:
        x (array): any of the three.

    Returns:
        torch.Tensor: shares memory where strides and byte order allow.
    """
    import torch

    _after_fork()
    if is_torch(x):
        return x
    if sp.get_device(x) == sp.cpu_device:
        x = np.asarray(x)
        if not x.dtype.isnative:  # from a file of another machine
            x = x.astype(x.dtype.newbyteorder("="))
        if not x.flags.writeable or any(s < 0 for s in x.strides):
            x = x.copy()
        return torch.from_numpy(x)
    return torch.from_dlpack(x)


def from_torch(tensor: torch.Tensor, like: Array) -> Array:
    """Return a tensor as the kind of array that ``like`` is.

    Args:
        tensor (torch.Tensor): on the device of ``like``.
        like (array): numpy, cupy or torch array; only its kind is used.

    Returns:
        array: same memory as the tensor.
    """
    if is_torch(like):
        return tensor
    if sp.get_device(like) == sp.cpu_device:
        return tensor.detach().numpy()
    device = sp.get_device(like)
    with device:
        return device.xp.from_dlpack(tensor.detach())


def to_sigpy(tensor: torch.Tensor) -> Array:
    """A tensor as what SigPy's operators take: numpy on the CPU, else cupy.

    Args:
        tensor (torch.Tensor): on any device.

    Returns:
        array: same memory, without a gradient.
    """
    tensor = tensor.detach().resolve_conj()
    if tensor.device.type == "cpu":
        return tensor.numpy()
    device = sp.Device(tensor.get_device())
    with device:
        return device.xp.from_dlpack(tensor)


@contextlib.contextmanager
def on_stream_of(x: Array) -> Iterator[None]:
    """Let torch work on the device and stream of an array, in a ``with``.

    Args:
        x (array): where it is a cupy array, torch's current stream becomes
            cupy's; nothing is done for numpy arrays and torch tensors.
    """
    if is_torch(x) or sp.get_device(x) == sp.cpu_device:
        yield
        return
    device = sp.get_device(x)
    xp: Any = device.xp  # cupy, since the array is not on the CPU
    with device:
        pointer = xp.cuda.get_current_stream().ptr
        with _torch_stream(pointer, device.id):
            yield


def _torch_stream(pointer: int, gpu: int) -> torch.cuda.StreamContext:
    import torch

    # Pointer 0 is CUDA's default stream, and torch's.
    stream = torch.cuda.default_stream(gpu)
    if pointer:
        stream = torch.cuda.ExternalStream(pointer, device=gpu)
    return torch.cuda.stream(stream)


def to_channels(x: torch.Tensor) -> torch.Tensor:
    """Complex tensor (N, H, W) to real channels (N, 2, H, W)."""
    import torch

    return torch.view_as_real(x.resolve_conj()).permute(0, 3, 1, 2)


def from_channels(x: torch.Tensor) -> torch.Tensor:
    """Real channels (N, 2, H, W) to a complex tensor (N, H, W)."""
    import torch

    return torch.complex(*x.unbind(1))
