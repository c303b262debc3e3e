"""BART's pics, nlinv and sample as Python calls with arrays in SigPy's layout.

Images are (..., H, W), k-space and maps (coils, H, W), slices before the coils
and sets of maps before those: BART's own order of dimensions read backwards, so
that arrays are only reshaped, never transposed. The graph of a prior is written
on first use and kept by its content.
"""

import tempfile
from pathlib import Path

import numpy as np

from bart_plugin.graph import contract
from bart_plugin import toolbox
from bart_plugin.graph.loss import map_lamda
from bart_plugin.exporters import CG_ITER, PUBLISHED_LAMDA, RHO, pics_options
from bart_plugin.graph.cached import cached_graph
from bart_plugin.toolbox.runner import BartError, run
from sigpy_priors.priors.base import DenoiserPrior
from sigpy_priors.scan.problem import sense_problem

__all__ = ["pics", "nlinv", "sample"]


def _data(y, mps):
    """k-space and maps as (slices, maps, coils, 1, H, W), and the image's shape."""
    y, mps = np.asarray(y), np.asarray(mps)
    for name, v in (("y", y), ("mps", mps)):
        if not np.iscomplexobj(v):
            raise ValueError(f"{name}: expected a complex array, got {v.dtype}.")
        if not np.isfinite(v).all():
            raise ValueError(f"{name}: some values are NaN or infinite.")
    if y.ndim not in (3, 4) or mps.ndim not in (y.ndim, y.ndim + 1):
        raise ValueError(
            f"expected y (coils, H, W) or (slices, coils, H, W), and mps like y or "
            f"with an axis for sets of maps before the coils; got {y.shape}, "
            f"{mps.shape}."
        )
    sets = mps.ndim == y.ndim + 1
    fit = mps[..., 0, :, :, :] if sets else mps
    if fit.shape != y.shape:
        raise ValueError(f"y {y.shape} and mps {mps.shape} do not fit.")
    *slices, coils, h, w = y.shape
    slices, maps = (slices or [1])[0], mps.shape[-4] if sets else 1
    image = (*y.shape[:-3], *((maps,) if sets else ()), h, w)
    gap = contract.SLICE_DIM - contract.MAPS_DIM - 1
    y = y.reshape((slices, *(1,) * gap, 1, coils, 1, h, w))
    mps = mps.reshape((slices, *(1,) * gap, maps, coils, 1, h, w))
    if slices == 1:
        y, mps = y[0, *(0,) * gap], mps[0, *(0,) * gap]
    return y, mps, image, slices, maps


def pics(
    y, mps, prior, lamda=None, sigma=None, max_iter=None, step=1.0, algorithm=None,
    rho=None, cg_iter=None, options="", warm_start=None, peak=None, strength=None,
    graph=None, bart=None,
):  # fmt: skip
    r"""``bart pics -R TF:`` with a prior.

    Args:
        y (array): k-space (coils, H, W) or (slices, coils, H, W), zero where
            not sampled.
        mps (array): maps like ``y``, or with an axis for sets of ESPIRiT maps
            before the coils.
        prior (Prior): network or Gaussian prior, or a density.
        lamda (float or None): weight of the prior. With a denoiser each proximal
            step replaces x by D(x) where it is 1, the default (FISTA: 1 /
            ``step``); BART's own lambda in ADMM is ``lamda`` * ``rho``. That of
            a density defaults to the maximum of the posterior, with the noise
            level estimated from ``y``.
        sigma (float or sequence of float): noise level at the prior's image
            scale, or one per iteration; default the annealing of ``export``.
        max_iter (int or None): iterations, default 16 of ADMM, 30 of FISTA, for
            a density 100. ADMM does more where conjugate gradients need less
            than ``cg_iter`` steps.
        step (float): step size of FISTA, below 2 / L; L <= 1 for normalised maps.
        algorithm (str or None): "admm", "fista" or "ist"; default "admm", for a
            density "fista".
        rho (float or None): coupling of ADMM, default ``export.RHO``.
        cg_iter (int or None): conjugate gradient steps per iteration of ADMM.
        options (str): further options of ``pics``.
        warm_start (array or None): first image, like the result.
        peak, strength: of :func:`bart_plugin.exporters`.
        graph (str or Path or None): an exported graph to use instead of
            ``prior``, checked before BART sees it.
        bart (Path or None): the program.

    Returns:
        array: image (..., H, W) in the units of ``y``, complex64.

    Raises:
        ValueError: if sizes or settings do not fit.
        GraphError: if ``graph`` is damaged or for another size.
        BartNotFound, BartError: if BART is missing or fails; the message names
            the setting to look at if the image is not finite.
    """
    given = y, mps
    y, mps, shape, slices, maps = _data(y, mps)
    density = prior is not None and not isinstance(prior, DenoiserPrior)
    algorithm = algorithm or ("fista" if density else "admm")
    if algorithm not in contract.ALGORITHMS:
        raise ValueError(
            f"algorithm must be one of {list(contract.ALGORITHMS)}, got {algorithm!r}."
        )
    if density:
        max_iter = 100 if max_iter is None else max_iter
    if lamda is None:
        lamda = _map_lamda(*given, prior) if density else 1.0
    rho = RHO if rho is None else rho
    cg_iter = CG_ITER if cg_iter is None else cg_iter
    limits = {
        "step must be between 0 and 2": 0 < step < 2,
        "lamda must be >= 0": 0 <= lamda < float("inf"),
        "max_iter must be at least 1": max_iter is None or max_iter >= 1,
        "rho must be > 0": 0 < rho < float("inf"),
        "cg_iter must be at least 1": cg_iter >= 1,
    }
    if wrong := [rule for rule, holds in limits.items() if not holds]:
        raise ValueError(
            f"{', '.join(wrong)}; got step {step}, lamda {lamda}, max_iter {max_iter}, "
            f"rho {rho}, cg_iter {cg_iter}."
        )
    h, w = shape[-2:]
    if graph is None:
        graph = cached_graph(
            prior, shape=(h, w), sigma=_hashable(sigma), kind="pics", slices=slices,
            maps=maps, peak=peak, strength=_hashable(strength), steps=max_iter,
            algorithm=algorithm,
        )  # fmt: skip
    full = contract.image_shape((h, w), slices, maps)
    name = _checked(graph, "pics", full)
    program = _need("pics -R TF:", bart)
    if contract.version(toolbox.version_of(program)) < (1, 0, 0):
        y = y * contract.centre_phase((h, w))
    weight = lamda * rho if algorithm == "admm" else lamda
    command = (
        f"pics -S {pics_options(algorithm, max_iter, step, rho, cg_iter)} {options} "
        f"-R TF:{{{name}}}:{weight:.9g}"
    )
    named = {}
    if warm_start is not None:
        named["W"] = np.asarray(warm_start).reshape(full[:-1])
    x = run(command, y, mps, bart=program, **named)
    setting = f"rho (now {rho})" if algorithm == "admm" else f"step (now {step})"
    return _image(x, shape, f"change {setting} or lower lamda (now {lamda})")


def _map_lamda(y, mps, prior):
    """Lambda of the maximum of the posterior, noise and scale from the data."""
    if y.ndim != 3 or mps.ndim != 3:
        raise ValueError(
            f"lamda: give it for slices or several sets of maps; it is estimated "
            f"for y and mps of shape (coils, H, W), got {y.shape} and {mps.shape}."
        )
    problem = sense_problem(y, mps)
    greatest = float(np.abs(problem.first_image()).max())
    if not greatest:
        raise ValueError("y: all values are zero, nothing to reconstruct.")
    return map_lamda(prior, problem.noise_std / greatest, y.shape[1:])


def nlinv(
    y, prior, lamda=None, sigma=None, max_iter=9, prior_iter=3, options="", peak=None,
    bart=None,
):  # fmt: skip
    """``bart nlinv -R TF:``: image and coils together, with a prior (1.0.00).

    Args:
        y (array): k-space (coils, H, W), zero where not sampled.
        prior (Prior): network or Gaussian prior.
        lamda (float or None): weight of the prior, by default 1, for a
            density 0.6 (complex) or 0.1 (magnitude), as published.
        sigma (float or None): noise level at the prior's image scale, by
            default 0.02; a density has none.
        max_iter (int): Newton steps.
        prior_iter (int): of them, the last that use the prior.
        options (str): further options of ``nlinv``.
        peak (float or None): of :func:`bart_plugin.exporters`.
        bart (Path or None): the program.

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
    density = not isinstance(prior, DenoiserPrior)
    if lamda is None:
        lamda = PUBLISHED_LAMDA[prior.numbers] if density else 1.0
    if sigma is None and not density:
        sigma = 0.02
    program = _need("nlinv -R TF:", bart)
    shape = y.shape[-2:]
    graph = cached_graph(
        prior, shape=shape, sigma=_hashable(sigma), kind="nlinv", peak=peak
    )
    name = _checked(graph, "nlinv", contract.image_shape(shape))
    command = (
        f"nlinv -i {max_iter} --reg-iter {prior_iter} {options} "
        f"-R TF:{{{name}}}:{lamda}"
    )
    x, coils = run(command, y[:, None], outputs=2, bart=program)
    setting = f"lower lamda (now {lamda}) or max_iter (now {max_iter})"
    return _image(x, shape, setting), _image(coils, y.shape, setting)


def sample(
    prior, shape=None, y=None, mps=None, noise_std=None, scale=1.0, n=1, levels=100,
    langevin=1, sigma_max=None, sigma_min=None, seed=1, torchscript=True, options="",
    bart=None,
):  # fmt: skip
    """``bart sample``: draw from a prior, or from the posterior given k-space.

    BART takes the noise of k-space to have standard deviation 1 and the image
    to be at the prior's scale. Both are put right here: with x = scale u, the
    data y = A x + n become y / noise_std = (scale / noise_std) A u + n'.

    Args:
        prior (Prior): network or Gaussian prior.
        shape (sequence of int or None): (H, W) without data.
        y, mps (array or None): k-space and maps (coils, H, W).
        noise_std (float or None): standard deviation of the complex noise of
            ``y``, needed with data.
        scale (float): magnitude of the image that the prior knows as 1.
        n (int): number of samples.
        levels (int): noise levels.
        langevin (int): steps per level.
        sigma_max, sigma_min (float or None): first and last level; default
            from the prior's range, at most 10.
        seed (int): of BART's random numbers.
        torchscript (bool): a ``.pt`` graph, else TensorFlow's.
        options (str): further options of ``sample``.
        bart (Path or None): the program.

    Returns:
        array: samples (n, H, W) in the units of the image, complex64.

    Raises:
        ValueError, BartNotFound, BartError: as :func:`pics`.
    """
    from bart import cfl

    program = _need("sample .pt" if torchscript else "sample .pb", bart)
    posterior = y is not None
    if posterior:
        if mps is None or noise_std is None or not noise_std > 0 or not scale > 0:
            raise ValueError(
                f"with data, mps, noise_std > 0 and scale > 0 are needed, got "
                f"noise_std {noise_std}, scale {scale}."
            )
        data, maps, image, slices, sets = _data(y, mps)
        if (slices, sets) != (1, 1) or len(image) != 2:
            raise ValueError("sample takes one slice and one set of maps.")
        shape = image
    elif shape is None or len(shape) != 2:
        raise ValueError(f"give y and mps, or shape (H, W); got shape {shape}.")
    low, high = prior.sigma_range
    sigma_max = min(10.0, high) if sigma_max is None else sigma_max
    sigma_min = max(0.005, low) if sigma_min is None else sigma_min
    if not 0 < sigma_min < sigma_max:
        raise ValueError(
            f"expected 0 < sigma_min < sigma_max, got {sigma_min}, {sigma_max}."
        )
    graph = cached_graph(
        prior, ".pt" if torchscript else ".pb", shape=tuple(shape), kind="sample"
    )
    name = graph if torchscript else _checked(graph, "sample", (-1, *shape, 2))
    h, w = shape
    command = (
        f"sample --external-graph {name} --dims {w}:{h} -N {levels} -K {langevin} "
        f"-S {n} -s {seed} --sigma min={sigma_min},max={sigma_max} {options}"
    )
    with tempfile.TemporaryDirectory() as work:
        if posterior:
            factor = 1 / noise_std
            files = {"kspace": data * factor, "sens": maps * (scale * factor)}
            for key, value in files.items():
                cfl.writecfl(f"{work}/{key}", np.asarray(value, np.complex64).T)
            command += f" --posterior kspace={work}/kspace,sens={work}/sens"
        x = run(command, bart=program)
    return _image(x, (n, h, w), f"raise levels (now {levels})") * np.float32(scale)


def _hashable(v):
    return tuple(float(s) for s in v) if np.ndim(v) else v


def _checked(graph, kind, shape):
    path = Path(graph)
    path = path if path.suffix == ".pb" else Path(f"{path}.pb")
    contract.check_graph(path, kind, shape)
    if any(c in str(path) for c in " {}:"):
        raise ValueError(f"{path}: BART cannot read a path with spaces, : or braces.")
    return path.with_suffix("")


def _need(feature, bart):
    """The program, if its version has a feature at all."""
    program = Path(bart) if bart else toolbox.find()
    text = toolbox.version_of(program)
    if text is None:
        raise toolbox.BartNotFound(f"{program} does not run as BART.")
    row = next(f for f in contract.FEATURES if f.name == feature)
    if contract.version(text) < contract.version(row.since):
        raise BartError(
            f"bart {feature} needs BART {row.since}, but {program} is {text}: "
            f"python -m bart_plugin build --version {row.since}"
        )
    return program


def _image(x, shape, setting):
    x = x.reshape(shape)
    if not np.isfinite(x).all():
        raise BartError(
            f"BART's image has {(~np.isfinite(x)).sum()} values that are not finite: "
            f"the iteration diverged, {setting}."
        )
    return x
