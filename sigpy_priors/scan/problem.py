"""The inverse problem that every app solves: operator, data, noise level.

An app says what to do with a :class:`Problem`; how one comes from k-space is
written here once.
"""

import math
import warnings

import numpy as np
import sigpy as sp

from sigpy_priors.linop import HalvingSense, SenseNormal, sampling_mask
from sigpy_priors.scan.noise import estimate_noise

__all__ = ["Problem", "sense_problem", "check_noise_std"]

# The first image, from which the scale is taken: mildly regularised SENSE.
_INIT_RHO = 1e-2
_INIT_ITER = 8
_NORM_ITER = 10
# A given noise level this many times the estimate, or a fraction, is suspect.
_MISFIT = 10


class Problem:
    r"""Find x in :math:`y = A x + n`, :math:`n \sim CN(0, \sigma_y^2 I)`.

    Args:
        A (Linop): from images.
        y (array): data, of the output shape of ``A`` and on its device.
        noise_std (float): :math:`\sigma_y`.
        normal (Linop or None): a faster :math:`A^H A`; None is ``A.N``.

    Attributes:
        AHy (array): :math:`A^H y`.
    """

    def __init__(self, A, y, noise_std, normal=None):
        # Real-valued data would make solutions real.
        y = y.astype(np.result_type(y.dtype, np.complex64), copy=False)
        self.A, self.y, self.noise_std = A, y, float(noise_std)
        self.normal = normal or A.N
        self.AHy = A.H(y)

    def prox(self, alpha, z, x, max_iter):
        r"""Minimise :math:`\frac{1}{2}\|A x - y\|^2 + \frac{1}{2\alpha}\|x - z\|^2`.

        Args:
            alpha (float): step size.
            z (array): image.
            x (array): where conjugate gradients start.
            max_iter (int): their number.

        Returns:
            array: image.
        """
        rho = 1 / alpha
        alg = sp.alg.ConjugateGradient(
            lambda v: self.normal(v) + rho * v,
            self.AHy + rho * z,
            x.copy(),
            max_iter=max_iter,
        )
        while not alg.done():
            alg.update()
        return alg.x

    def first_image(self, size=1.0):
        """Mildly regularised least squares, for the start and the scale.

        Args:
            size (float): the largest eigenvalue of :math:`A^H A`, or near it.

        Returns:
            array: image.
        """
        zero = 0 * self.AHy
        return self.prox(1 / (_INIT_RHO * size), zero, zero, _INIT_ITER)

    def largest_eigenvalue(self):
        """Of :math:`A^H A`, by power iteration; 0 for A = 0."""
        xp = sp.get_array_module(self.AHy)
        x = xp.ones(self.normal.ishape, self.AHy.dtype)
        x += xp.asarray(np.random.default_rng(0).standard_normal(x.shape))
        size = 0.0
        for _ in range(_NORM_ITER):
            x = self.normal(x / xp.linalg.norm(x))
            size = float(xp.linalg.norm(x))
            if size == 0:
                break
        return size


def sense_problem(
    y,
    mps,
    weights=None,
    coord=None,
    noise_std=None,
    device=sp.cpu_device,
    coil_batch_size=None,
    comm=None,
    transp_nufft=False,
):
    """The problem of multi-coil k-space, moved to a device.

    Args:
        y (array): k-space (coils, ...), zero where not sampled.
        mps (array): sensitivity maps (coils, ...).
        weights (float, array or None): of the data; None is the mask of what
            was sampled, unless there are coordinates.
        coord (array or None): coordinates.
        noise_std (float or None): None estimates it, 0 if there are no data.
        device (Device): device to compute on; all arrays are moved there here,
            once.
        coil_batch_size (int or None): coils at a time.
        comm (Communicator or None): for coils distributed over processes.
        transp_nufft (bool): as in SigPy.

    Returns:
        Problem: the problem.

    Raises:
        ValueError: if the noise level is negative or not finite.
    """
    y, mps, weights, coord = (
        v if v is None else sp.to_device(v, device) for v in (y, mps, weights, coord)
    )
    if weights is None and coord is None:
        weights = sampling_mask(y)
    noise_std = _noise(y, weights, coord, noise_std, comm)
    with sp.Device(device):
        if weights is not None:
            y = y * weights**0.5
        A = HalvingSense(
            mps, weights, coil_batch_size, comm, coord=coord, transp_nufft=transp_nufft
        )
        normal = None
        if coord is None:
            normal = SenseNormal(mps, weights, coil_batch_size, comm)
        return Problem(A, y, noise_std, normal)


def check_noise_std(noise_std):
    """Raise a ValueError for a noise level that is negative or not finite."""
    if not 0 <= noise_std < math.inf:
        raise ValueError(f"noise_std must be >= 0 and finite, got {noise_std}.")


def _noise(y, weights, coord, noise_std, comm):
    """The given noise level, with a warning if it is far off, or an estimate."""
    if noise_std is not None:
        check_noise_std(noise_std)
    sampled = sp.get_array_module(y).any(y)
    estimate = estimate_noise(y, weights, coord) if sampled else 0.0
    if comm is not None:
        estimate = _mean_over(comm, estimate)
    if noise_std is None:
        return estimate
    if estimate and not 1 / _MISFIT < noise_std / estimate < _MISFIT:
        warnings.warn(
            f"noise_std={noise_std:g} is {noise_std / estimate:.2g} times the "
            f"estimate from the data, {estimate:g}: if the estimate is right, the "
            f"prior's weight and the intervals of samples will be wrong.",
            stacklevel=4,
        )
    return noise_std


def _mean_over(comm, value):
    """Mean of a number over the processes of a SigPy communicator."""
    total = np.array([value, 1.0])
    comm.allreduce(total)
    return float(total[0] / total[1])
