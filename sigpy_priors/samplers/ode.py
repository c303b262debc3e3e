r"""The probability flow, integrated from one noise level to the next.

.. math::
    \frac{dx}{d\sigma} = \frac{x - \hat x(x, \sigma)}{\sigma}

takes the marginal of :math:`x_0 + \sigma n` at one level to that of the next
one, where :math:`\hat x` is the mean of :math:`x_0` given x (and given the
data, for posterior samples). In :math:`\log\sigma` it is linear in x, and
:math:`\hat x` is extrapolated from two levels: DPM-Solver++(2M).

References:
    Lu, C., et al. (2022). DPM-Solver++: Fast solver for guided sampling of
    diffusion probabilistic models. arXiv:2211.01095. Algorithm 2.
"""

import math

__all__ = ["flow"]


def flow(estimate, x, sigmas):
    """Integrate from the first to the last of the noise levels.

    Args:
        estimate (function): of x, sigma: the mean of the clean image. It is
            called at every level but the last.
        x (array): images at the first level (N, H, W).
        sigmas (sequence of float): falling noise levels.

    Returns:
        array: images at the last level (N, H, W).
    """
    previous = last = None
    for sigma, below in zip(sigmas[:-1], sigmas[1:]):
        mean = estimate(x, sigma)
        ratio = below / sigma
        slope = mean
        if previous is not None:
            h, h_last = math.log(ratio), math.log(sigma / last)
            slope = mean + h / (2 * h_last) * (mean - previous)
        x = ratio * x + (1 - ratio) * slope
        previous, last = mean, sigma
    return x
