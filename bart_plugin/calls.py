"""BART's pics, nlinv and sample as Python calls with arrays in SigPy's layout.

Images are (..., H, W), k-space and maps (coils, H, W), slices before the coils
and sets of maps before those: BART's own order of dimensions read backwards, so
that arrays are only reshaped, never transposed. The graph of a prior is written
on first use and kept by its content.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bart_plugin.algorithms import (
    PUBLISHED_LAMDA,
    Algorithm,
    Numbers,
    as_numbers,
    default_levels,
    get_algorithm,
)
from bart_plugin.cached import cached_graph
from bart_plugin.exporters import GraphSpec
from bart_plugin.fitting import density_lamda, fit_nlinv, fitted
from bart_plugin.graph import contract
from bart_plugin.layout import checked_image, checked_scan
from bart_plugin.toolbox.program import BartNotFound, find, version_of
from bart_plugin.toolbox.runner import BartError, run
from sigpy_priors.backend.validate import (
    check_count,
    check_image,
    check_number,
    check_path,
    check_shape,
)
from sigpy_priors.io.cfl import write_cfl
from sigpy_priors.priors.base import DenoiserPrior, DensityPrior, Prior, check_kind

__all__ = ["capable_program", "checked_name", "nlinv", "pics", "sample"]


def pics(
    y: np.ndarray,
    mps: np.ndarray,
    prior: Prior | None,
    lamda: float | None = None,
    sigma: Numbers = None,
    max_iter: int | None = None,
    algorithm: str | Algorithm | None = None,
    relaxation: Numbers = None,
    peak: float | None = None,
    warm_start: np.ndarray | None = None,
    options: str = "",
    graph: str | Path | None = None,
    bart: str | Path | None = None,
) -> np.ndarray:
    r"""``bart pics -R TF:`` with a prior.

    Args:
        y (array): k-space (coils, H, W) or (slices, coils, H, W), zero where
            not sampled.
        mps (array): maps like ``y``, or with an axis for sets of ESPIRiT maps
            before the coils.
        prior (Prior or None): network or Gaussian prior, or a density; None with
            ``graph``.
        lamda (float or None): weight of the prior. With a denoiser each proximal
            step replaces x by D(x) where it is 1, the default (in FISTA: 1 over
            its step). That of a density defaults to the maximum of the posterior,
            with the noise level estimated from ``y``.
        sigma (float or sequence of float): noise level at the prior's image
            scale, or one per iteration; the default follows from the noise of
            the data (:mod:`bart_plugin.fitting`).
        max_iter (int or None): iterations, if not those of the algorithm.
        algorithm (str, Admm, Fista or None): "admm", whose coupling then follows
            from the data too, "fista" or "ist", or an object of
            :mod:`bart_plugin.algorithms` as it is; default "admm", for a density
            "fista".
        relaxation (float or sequence of float): as for :func:`bart_plugin.export`.
        peak (float or None): as for :func:`bart_plugin.export`; the default is
            estimated where the levels are, else 1.
        warm_start (array or None): first image, like the result.
        options (str): further options of ``pics``.
        graph (str or Path or None): an exported graph to use instead of
            ``prior``, checked before BART sees it.
        bart (str or Path or None): the program.

    Returns:
        array: image (..., H, W) in the units of ``y``, complex64.

    Raises:
        ValueError: if sizes or settings do not fit.
        GraphError: if ``graph`` is damaged or for another size.
        BartNotFound, BartError: if BART is missing or fails; the message names
            the setting to look at if the image is not finite.
    """
    scan = checked_scan(y, mps)
    if graph is None:
        check_kind(prior)
    density = prior is not None and not isinstance(prior, DenoiserPrior)
    y, mps = np.asarray(y), np.asarray(mps)
    if graph is None:
        assert prior is not None
        method, peak = fitted(y, mps, prior, algorithm, max_iter, sigma, peak)
    else:
        method = get_algorithm(algorithm, density, max_iter)
    if lamda is None:
        lamda = density_lamda(y, mps, prior) if density else 1.0
    lamda = check_number("lamda", lamda)
    size = scan.shape[-2:]
    full = contract.image_shape(size, scan.slices, scan.maps)
    if graph is None:
        assert prior is not None and peak is not None
        # Not the algorithm itself: with another coupling the graph is the same.
        levels = default_levels(prior, method, sigma, relaxation)
        spec = GraphSpec(size, "pics", *levels, scan.slices, scan.maps, peak)
        graph = cached_graph(prior, spec)
    name = checked_name(graph, "pics", full)
    program = capable_program("pics -R TF:", bart)
    data = scan.y
    if contract.version(version_of(program) or "") < (1, 0, 0):
        data = data * contract.centre_phase(size)
    command = (
        f"pics -S {method.options()} {options} "
        f"-R TF:{{{name}}}:{lamda if density else method.bart_lamda(lamda):.9g}"
    )
    named = {}
    if warm_start is not None:
        start = check_image("warm_start", np.asarray(warm_start))
        if start.size != math.prod(full[:-1]):
            raise ValueError(
                f"warm_start: expected an image of shape {scan.shape}, got {start.shape}."
            )
        named["W"] = start.reshape(full[:-1])
    x = run(command, data, scan.mps, bart=program, **named)
    advice = f"change {method.setting} or lower lamda (now {lamda})"
    return checked_image(x, scan.shape, advice)


def nlinv(
    y: np.ndarray,
    prior: Prior,
    lamda: float | None = None,
    sigma: float | None = None,
    max_iter: int = 9,
    prior_iter: int = 3,
    options: str = "",
    peak: float | None = None,
    bart: str | Path | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """``bart nlinv -R TF:``: image and coils together, with a prior (1.0.00).

    Args:
        y (array): k-space (coils, H, W), zero where not sampled.
        prior (Prior): network or Gaussian prior.
        lamda (float or None): weight of the prior, by default 1, for a
            density 0.6 (complex) or 0.1 (magnitude), as published.
        sigma (float or None): noise level at the prior's image scale; the default
            follows from the data (:func:`bart_plugin.fitting.fit_nlinv`). A density
            has none.
        max_iter (int): Newton steps.
        prior_iter (int): of them, the last that use the prior.
        options (str): further options of ``nlinv``.
        peak (float or None): as for :func:`bart_plugin.export`; the default is
            estimated where the level is, else 1.
        bart (str or Path or None): the program.

    Returns:
        tuple of array: image (H, W) and coils (coils, H, W), complex64; their
        product is in the units of BART, which scales the data.

    Raises:
        ValueError, BartNotFound, BartError: as :func:`pics`.
    """
    y = np.asarray(y)
    if y.ndim != 3 or not np.iscomplexobj(y) or not np.isfinite(y).all():
        raise ValueError(
            f"y: expected finite complex k-space (coils, H, W), got {y.dtype} "
            f"{y.shape}."
        )
    check_kind(prior)
    _check_counts(max_iter=max_iter, prior_iter=prior_iter)
    if isinstance(prior, DenoiserPrior):
        lamda = 1.0 if lamda is None else lamda
        if sigma is None:
            sigma, found = fit_nlinv(y, prior)
            peak = found if peak is None else peak
    elif isinstance(prior, DensityPrior) and lamda is None:
        lamda = PUBLISHED_LAMDA[prior.channels]
    program = capable_program("nlinv -R TF:", bart)
    levels = as_numbers("sigma", sigma)
    spec = GraphSpec(
        y.shape[-2:], "nlinv", levels, peak=1.0 if peak is None else float(peak)
    )
    name = checked_name(cached_graph(prior, spec), "nlinv", spec.image_shape())
    command = (
        f"nlinv -i {max_iter} --reg-iter {prior_iter} {options} "
        f"-R TF:{{{name}}}:{lamda}"
    )
    x, coils = run(command, y[:, None], outputs=2, bart=program)
    advice = f"lower lamda (now {lamda}) or max_iter (now {max_iter})"
    return checked_image(x, y.shape[-2:], advice), checked_image(coils, y.shape, advice)


def sample(
    prior: DenoiserPrior,
    shape: Sequence[int] | None = None,
    y: np.ndarray | None = None,
    mps: np.ndarray | None = None,
    noise_std: float | None = None,
    scale: float = 1.0,
    n: int = 1,
    levels: int = 100,
    langevin: int = 1,
    sigma_max: float | None = None,
    sigma_min: float | None = None,
    seed: int = 1,
    torchscript: bool = True,
    options: str = "",
    bart: str | Path | None = None,
) -> np.ndarray:
    """``bart sample``: draw from a prior, or from the posterior given k-space.

    BART takes the noise of k-space to have standard deviation 1 and the image
    to be at the prior's scale. Both are put right here: with x = scale u, the
    data y = A x + n become y / noise_std = (scale / noise_std) A u + n'.

    Args:
        prior (DenoiserPrior): network or Gaussian prior.
        shape (sequence of int or None): (H, W) without data.
        y (array or None): k-space (coils, H, W).
        mps (array or None): maps (coils, H, W).
        noise_std (float or None): standard deviation of the complex noise of
            ``y``, needed with data.
        scale (float): magnitude of the image that the prior knows as 1.
        n (int): number of samples.
        levels (int): noise levels.
        langevin (int): steps per level.
        sigma_max (float or None): first level; default the highest of the prior's
            range, at most 10.
        sigma_min (float or None): last level; default the lowest of the prior's
            range, at least 0.005.
        seed (int): of BART's random numbers.
        torchscript (bool): a ``.pt`` graph, else TensorFlow's.
        options (str): further options of ``sample``.
        bart (str or Path or None): the program.

    Returns:
        array: samples (n, H, W) in the units of the image, complex64.

    Raises:
        ValueError, BartNotFound, BartError: as :func:`pics`.
    """
    check_kind(prior, DenoiserPrior)
    _check_counts(n=n, levels=levels, langevin=langevin)
    seed = check_count("seed", seed, low=0)
    scale = check_number("scale", scale, strict=True)
    if shape is not None:
        shape = check_shape("shape", shape)
    program = capable_program("sample .pt" if torchscript else "sample .pb", bart)
    files = {}
    if y is not None:
        files, shape = _posterior_files(y, mps, noise_std, scale)
    elif shape is None or len(shape) != 2:
        raise ValueError(f"give y and mps, or shape (H, W); got shape {shape}.")
    low, high = _noise_range(prior, sigma_min, sigma_max)
    spec = GraphSpec(tuple(shape), "sample")
    graph = cached_graph(prior, spec, ".pt" if torchscript else ".pb")
    if not torchscript:
        graph = checked_name(graph, "sample", spec.image_shape())
    h, w = shape
    command = (
        f"sample --external-graph {graph} --dims {w}:{h} -N {levels} -K {langevin} "
        f"-S {n} -s {seed} --sigma min={low},max={high} {options}"
    )
    with tempfile.TemporaryDirectory() as work:
        if files:
            for key, value in files.items():
                write_cfl(f"{work}/{key}.cfl", value)
            command += f" --posterior kspace={work}/kspace,sens={work}/sens"
        x = run(command, bart=program)
    return checked_image(x, (n, h, w), f"raise levels (now {levels})") * np.float32(
        scale
    )


# Settings


def _posterior_files(
    y: np.ndarray, mps: np.ndarray | None, noise_std: float | None, scale: float
) -> tuple[dict[str, np.ndarray], tuple[int, ...]]:
    """k-space and maps in the units that ``sample`` assumes, and the image's shape."""
    if mps is None or noise_std is None or not noise_std > 0 or not scale > 0:
        raise ValueError(
            f"with data, mps, noise_std > 0 and scale > 0 are needed, got "
            f"noise_std {noise_std}, scale {scale}."
        )
    scan = checked_scan(y, mps)
    if (scan.slices, scan.maps) != (1, 1) or len(scan.shape) != 2:
        raise ValueError("sample takes one slice and one set of maps.")
    factor = 1 / noise_std
    files = {"kspace": scan.y * factor, "sens": scan.mps * (scale * factor)}
    return files, scan.shape


def _check_counts(**counts: int) -> None:
    for name, value in counts.items():
        check_count(name, value)


def _noise_range(
    prior: DenoiserPrior, low: float | None, high: float | None
) -> tuple[float, float]:
    """First and last noise level of ``sample``; below its range a prior is held."""
    least, most = prior.sigma_range
    low = max(0.005, least) if low is None else check_number("sigma_min", low)
    high = min(10.0, most) if high is None else check_number("sigma_max", high)
    if not 0 < low < high <= most:
        raise ValueError(
            f"expected 0 < sigma_min < sigma_max <= {most:g}, which is the highest "
            f"that {prior!r} knows, got {low}, {high}."
        )
    return low, high


def checked_name(graph: str | Path, kind: str, shape: Sequence[int]) -> Path:
    """A graph as BART's command line has it, without ending.

    Args:
        graph (str or Path): the ``.pb`` file, with or without its ending.
        kind (str): "pics", "nlinv" or "sample".
        shape (sequence of int): of the graph's image.

    Returns:
        Path: without ending.

    Raises:
        GraphError: if it is damaged or for something else.
        ValueError: if BART could not read the path.
    """
    path = check_path("graph", graph)
    path = path if path.suffix == ".pb" else Path(f"{path}.pb")
    contract.check_graph(path, kind, shape)
    if any(c in str(path) for c in " {}:"):
        raise ValueError(f"{path}: BART cannot read a path with spaces, : or braces.")
    return path.with_suffix("")


def capable_program(feature: str, bart: str | Path | None) -> Path:
    """The program, if its version has a feature at all.

    Args:
        feature (str): of :data:`bart_plugin.graph.contract.FEATURES`.
        bart (str, Path or None): the program; default that of
            :func:`bart_plugin.toolbox.find`.

    Returns:
        Path: the program.

    Raises:
        BartNotFound, BartError: if there is none, or it is too old.
    """
    program = find() if bart is None else check_path("bart", bart)
    text = version_of(program)
    if text is None:
        raise BartNotFound(f"{program} does not run as BART.")
    row = next(f for f in contract.FEATURES if f.name == feature)
    if contract.version(text) < contract.version(row.since):
        raise BartError(
            f"bart {feature} needs BART {row.since}, but {program} is {text}: "
            f"python -m bart_plugin build --version {row.since}"
        )
    return program
