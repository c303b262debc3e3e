"""Complex images from magnitudes: phases drawn from a complex prior."""

from __future__ import annotations

from typing import Any

import numpy as np
import sigpy as sp
from tqdm.auto import tqdm

from sigpy_priors.app.sampling import PosteriorSampling
from sigpy_priors.backend.arrays import Array
from sigpy_priors.backend.validate import check_count, check_number
from sigpy_priors.priors.base import DenoiserPrior, check_kind
from sigpy_priors.scan.magnitude import MagnitudeTerm
from sigpy_priors.scan.noise import estimate_scale

__all__ = ["Augment"]

# Of magnitudes, relative to their scale: that of what priors are trained on.
_NOISE = 0.02
# Plug-and-play steps of the statistical weight that renoise fully, so that a network
# sees what it was trained on; from the prior alone to below the magnitudes' noise.
_STEPS = {"steps": 60, "sigma_max": 10.0, "sigma_min": 0.01, "lamda": 1.0, "zeta": 1.0}


class Augment(sp.app.App):
    r"""Draw complex images from the magnitudes that are left of them.

    Samples :math:`p(x | |x| = m)` with the prior's p, by
    :class:`sigpy_priors.app.PosteriorSampling` with
    :class:`sigpy_priors.scan.magnitude.MagnitudeTerm`, and keeps the phase: the
    result's magnitude is m exactly. Images with phases for training, from archives
    that have none.

    The default, "diffpir", gives a network's phases their smoothness, and is too sure
    of them: of a Gaussian pair of correlation 0.8 the mean resultant length is 0.91,
    where 0.79 is exact. "sgs" has 0.78 there, but wants a denoiser that is exact for
    images that are no image and noise.

    Args:
        magnitudes (array): real, (H, W) or (N, H, W), in any units.
        prior (DenoiserPrior): of complex images.
        num_samples (int): phases for each.
        noise_std (float): standard deviation of the complex noise of magnitudes,
            relative to their scale.
        seed (int): of image 0, one more for each that follows.
        device (Device): where to compute.
        show_pbar (bool): toggle progress bar.
        **kwargs: of ``PosteriorSampling``: method, steps, chunk_size and options.

    Raises:
        ValueError: if magnitudes are complex, negative, zero or not finite.

    References:
        Luo, G., et al. (2023). arXiv:2308.02340.
    """

    def __init__(
        self,
        magnitudes: Array,
        prior: DenoiserPrior,
        num_samples: int = 1,
        noise_std: float = _NOISE,
        seed: int = 0,
        device: Any = sp.cpu_device,
        show_pbar: bool = True,
        **kwargs: Any,
    ) -> None:
        check_kind(prior, DenoiserPrior)
        if getattr(magnitudes, "ndim", 0) not in (2, 3):
            raise ValueError(
                f"magnitudes: expected an array (H, W) or (N, H, W), got "
                f"{getattr(magnitudes, 'shape', magnitudes)}."
            )
        self.num_samples = check_count("num_samples", num_samples)
        self.prior, self.seed, self.kwargs = prior, seed, kwargs
        self.noise_std = check_number("noise_std", noise_std, strict=True)
        self.device = sp.Device(device)
        self.single = magnitudes.ndim == 2
        self.magnitudes = magnitudes[None] if self.single else magnitudes
        self.output: list[Array] = []
        super().__init__(None, show_pbar=show_pbar)

    def run(self) -> Array:
        """Draw what is missing; an interrupted call goes on with the next image.

        Returns:
            array: complex (num_samples, H, W), or (N, num_samples, H, W) of several
            images, on the device.
        """
        left = range(len(self.output), len(self.magnitudes))
        with tqdm(
            left, initial=len(self.output), total=len(self.magnitudes), unit="image",
            desc="Augment", disable=not self.show_pbar,
        ) as bar:  # fmt: skip
            for i in bar:
                self.output.append(self._draw(i, self.magnitudes[i]))
        xp = self.device.xp
        with self.device:
            return self.output[0] if self.single else xp.stack(self.output)

    def _draw(self, i: int, magnitude: Array) -> Array:
        xp = self.device.xp
        with self.device:
            m = xp.asarray(sp.to_device(magnitude, self.device))
            scale = estimate_scale(m) if m.any() else 1.0
            options = self.kwargs
            if options.get("method", "diffpir") == "diffpir":
                options = {"method": "diffpir"} | _STEPS | options
            term: Any = MagnitudeTerm(m / scale, self.noise_std)
            app = PosteriorSampling.of(
                term, self.prior, self.num_samples, scale=1.0, seed=self.seed + i,
                show_pbar=False, **options,
            )  # fmt: skip
            x = app.run()
            unit = xp.exp(1j * xp.angle(x))
            return (m * unit).astype(np.result_type(m.dtype, np.complex64))
