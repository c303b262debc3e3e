r"""SigPy's operators as torch modules over real channels, for graphs without an FFT.

An image (N, 2, H, W) becomes its K draws, one after the other, (N K, 2, H', W').
Transforms are products with the matrices of their axes: every node exists in ONNX and
in each TensorFlow that BART has been built with, the filters of a wavelet are exact
for any number of taps, and beside a network their time is nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sigpy as sp
import torch
from torch import nn

from sigpy_priors.backend.arrays import Array
from sigpy_priors.linop.kspace_weights import KspaceWeights
from sigpy_priors.linop.undecimated import UndecimatedWavelet

__all__ = ["ChannelLinop", "channel_linop"]

_KNOWN = (
    "Copies, Coils, UndecimatedWavelet, Band, KspaceRamp, sigpy's FFT, IFFT, Multiply "
    "and Identity, and products of these"
)


class ChannelLinop(nn.Module):
    """Abstract: W of channels, and its adjoint; as it is, the identity."""

    def forward(self, x: Any) -> Any:
        """W x: (N, 2, H, W) to (N K, 2, H', W')."""
        return x

    def adjoint(self, z: Any) -> Any:
        """W^H z: (N K, 2, H', W') to (N, 2, H, W)."""
        return z


def channel_linop(W: sp.linop.Linop) -> ChannelLinop:
    """The twin of an operator on images (H, W).

    Args:
        W (Linop): operator.

    Returns:
        ChannelLinop: the same on channels, in single precision.

    Raises:
        TypeError: if there is none: which operators have one.
    """
    if isinstance(W, sp.linop.Compose):
        return _Chain([channel_linop(V) for V in reversed(W.linops)])
    if isinstance(W, sp.linop.Identity):
        return ChannelLinop()
    if isinstance(W, UndecimatedWavelet):
        return _Subbands(W)
    if isinstance(W, KspaceWeights):
        return _Weights(W)
    last = len(W.ishape) - 2, len(W.ishape) - 1
    if isinstance(W, sp.linop.FFT | sp.linop.IFFT) and last == _axes(W):
        return _Fourier(W)
    if isinstance(W, sp.linop.Tile) and tuple(W.axes) == (0,) and _of_one_image(W):
        return _Copies(W.oshape[0])
    if isinstance(W, sp.linop.Multiply):
        mult = W.mult
        mult = np.asarray(sp.to_device(mult)) if np.ndim(mult) else np.array(mult)
        if mult.ndim <= 2 or (mult.ndim == 3 and _of_one_image(W)):
            return _Factors(mult.conj() if W.conj else mult)
    raise TypeError(f"{W} has no twin in torch, expected {_KNOWN}.")


def _of_one_image(W: sp.linop.Linop) -> bool:
    return len(W.ishape) == 2


def _axes(W: Any) -> tuple[int, ...]:
    rank = len(W.ishape)
    axes = range(rank) if W.axes is None else W.axes
    return tuple(sorted(a % rank for a in axes))


class _Chain(ChannelLinop):
    """One after the other."""

    def __init__(self, parts: list[ChannelLinop]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Any) -> Any:
        for part in self.parts:
            x = part(x)
        return x

    def adjoint(self, z: Any) -> Any:
        for part in reversed(list(self.parts)):
            z = part.adjoint(z)  # type: ignore[operator]
        return z


class _Copies(ChannelLinop):
    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, x: Any) -> Any:
        return x[:, None].expand(-1, self.count, -1, -1, -1).flatten(0, 1)

    def adjoint(self, z: Any) -> Any:
        return z.unflatten(0, (-1, self.count)).sum(dim=1)


class _Factors(ChannelLinop):
    """Complex factors: one, of every pixel, or several of every pixel."""

    re: torch.Tensor
    im: torch.Tensor

    def __init__(self, mult: Any) -> None:
        super().__init__()
        self.count = len(mult) if mult.ndim == 3 else 1
        parts: Any = np.broadcast_to(mult, (1,) * max(3 - mult.ndim, 0) + mult.shape)
        self.register_buffer("re", torch.tensor(parts.real.copy()).float())
        self.register_buffer("im", torch.tensor(parts.imag.copy()).float())

    def forward(self, x: Any) -> Any:
        return self._times(x[:, None], self.im).flatten(0, 1)

    def adjoint(self, z: Any) -> Any:
        return self._times(z.unflatten(0, (-1, self.count)), -self.im).sum(dim=1)

    def _times(self, x: Any, im: Any) -> Any:
        a, b = x[:, :, 0], x[:, :, 1]
        return torch.stack([self.re * a - im * b, self.re * b + im * a], dim=2)


class _Matrices(nn.Module):
    """A x B^T of channels (N, 2, H, W), with complex A and B."""

    def __init__(self, A: Any, B: Any) -> None:
        super().__init__()
        for name, M in (("left", A), ("right", B)):
            whole = np.block([[M.real, -M.imag], [M.imag, M.real]])
            self.register_buffer(name, torch.tensor(whole).float())

    def forward(self, x: Any) -> Any:
        for M in (self.left, self.right):  # and turned: after both it is as it was
            x = (M @ x.flatten(1, 2)).unflatten(1, (2, -1)).transpose(-1, -2)
        return x


class _Fourier(ChannelLinop):
    """Of the last two axes, unitary."""

    def __init__(self, W: Any) -> None:
        super().__init__()
        matrices = [_fourier(n, W.center) for n in W.ishape[-2:]]
        if isinstance(W, sp.linop.IFFT):
            matrices = [M.conj().T for M in matrices]
        self.there = _Matrices(*matrices)
        self.back = _Matrices(*(M.conj().T for M in matrices))

    def forward(self, x: Any) -> Any:
        return self.there(x)

    def adjoint(self, z: Any) -> Any:
        return self.back(z)


def _fourier(n: int, center: bool) -> Array:
    return np.asarray(sp.fft(np.eye(n, dtype=complex), axes=[0], center=center))


class _Weights(ChannelLinop):
    """Real weights of k-space: their own adjoint."""

    weights: torch.Tensor

    def __init__(self, W: KspaceWeights) -> None:
        super().__init__()
        self.fourier = _Fourier(sp.linop.FFT(W.ishape[-2:]))
        self.register_buffer("weights", torch.tensor(W.weights).float())

    def forward(self, x: Any) -> Any:
        return self.fourier.adjoint(self.weights * self.fourier(x))

    def adjoint(self, z: Any) -> Any:
        return self(z)


class _Subbands(ChannelLinop):
    """Separable real filters, periodic: A_b x B_b^T of every subband b."""

    left: torch.Tensor
    right: torch.Tensor

    def __init__(self, W: UndecimatedWavelet) -> None:
        super().__init__()
        for name, responses in (("left", W.rows), ("right", W.columns)):
            filters = responses[:, :, None] * np.fft.fft(np.eye(responses.shape[1]))
            matrices = np.fft.ifft(filters, axis=1).real
            self.register_buffer(name, torch.tensor(matrices).float()[:, None])

    def forward(self, x: Any) -> Any:
        z = self.left @ x[:, None] @ self.right.mT
        return z.flatten(0, 1)

    def adjoint(self, z: Any) -> Any:
        z = z.unflatten(0, (-1, len(self.left)))
        return (self.left.mT @ z @ self.right).sum(dim=1)
