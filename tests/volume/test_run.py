"""Volumes from Python: files or arrays, as they come or written, resumed."""

import functools

import numpy as np
import pytest
import sigpy as sp

from sigpy_priors import volume
from sigpy_priors.app.recon import PriorRecon
from sigpy_priors.app.sampling import PosteriorSampling
from sigpy_priors.io.cfl import read_cfl
from sigpy_priors.volume.inputs import fingerprint
from sigpy_priors.volume.run import Job
from sigpy_priors.volume.store import checkpoint_file
from sigpy_priors.volume.worker import Preparation, compute_slice

QUIET = dict(show_pbar=False)


def visible(folder):
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))


@pytest.fixture
def interrupt(monkeypatch):
    """Have an app interrupted at its n-th run from now on; counts the runs."""

    def at(app, n):
        run, calls = app.run, []

        def counted(self):
            calls.append(self)
            if len(calls) == n:
                raise KeyboardInterrupt
            return run(self)

        monkeypatch.setattr(app, "run", counted)
        return calls

    return at


def test_images_come_one_by_one(small_volume, smooth_prior, interrupt):
    """What the app gives, and nothing is computed that nobody asked for."""
    y, mps = small_volume
    job = volume.recon(y, smooth_prior, mps, lamda=0.5, noise_std=0.01)
    runs = interrupt(PriorRecon, 99)
    images = job.run(**QUIET)
    assert not runs
    i, image = next(images)
    assert i == 0 and len(runs) == 1
    alone = PriorRecon(
        y[0], mps[0], smooth_prior, lamda=0.5, noise_std=0.01, show_pbar=False
    ).run()
    np.testing.assert_array_equal(image, alone)
    assert [i for i, _ in images] == [1, 2]


def test_files_and_arrays_give_the_same(small_volume, smooth_prior, tmp_path):
    y, mps = small_volume
    np.save(tmp_path / "y.npy", y)
    np.save(tmp_path / "mps.npy", mps)
    np.save(tmp_path / "w.npy", np.full((16, 16), 0.5))
    files = volume.recon(
        tmp_path / "y.npy",
        smooth_prior,
        str(tmp_path / "mps.npy"),
        weights=tmp_path / "w.npy",
        slices=slice(1, None),
    )
    arrays = volume.recon(
        y, smooth_prior, mps, weights=np.full((16, 16), 0.5), slices=slice(1, None)
    )
    written = files.write(tmp_path / "out.npy", **QUIET)
    np.testing.assert_array_equal(written, np.load(tmp_path / "out.npy"))
    for (i, image), j in zip(arrays.run(**QUIET), (1, 2), strict=True):
        assert i == j
        np.testing.assert_array_equal(image, written[i - 1])


def test_one_slice_has_no_axis_of_slices(small_volume, smooth_prior, tmp_path):
    y, mps = small_volume
    job = volume.recon(y[0], smooth_prior, mps[0])
    assert job.write(tmp_path / "out.cfl", **QUIET).shape == (16, 16)
    assert np.squeeze(read_cfl(tmp_path / "out.cfl")).shape == (16, 16)


def test_arrays_are_resumed_and_told_apart(
    small_volume, smooth_prior, tmp_path, interrupt
):
    y, mps = small_volume
    out = tmp_path / "out.npy"
    whole = volume.recon(y, smooth_prior, mps).write(tmp_path / "whole.npy", **QUIET)
    runs = interrupt(PriorRecon, 3)
    with pytest.raises(KeyboardInterrupt):
        volume.recon(y, smooth_prior, mps).write(out, **QUIET)
    for changed in (
        volume.recon(2 * y, smooth_prior, mps),
        volume.recon(y, smooth_prior, -mps),
        volume.recon(y, smooth_prior, mps, weights=np.ones((16, 16))),
        volume.recon(y, smooth_prior, mps, calib_width=12),
        volume.recon(y, smooth_prior, mps, solver="ADMM"),
    ):
        with pytest.raises(ValueError, match="unfinished run with other settings"):
            changed.write(out, **QUIET)
    written = volume.recon(y, smooth_prior, mps).write(out, **QUIET)
    assert len(runs) == 4, "finished slices were computed again"
    np.testing.assert_array_equal(written, whole)
    assert visible(tmp_path) == ["out.npy", "whole.npy"]


def test_what_the_body_fails_to_write_is_kept(small_volume, smooth_prior, tmp_path):
    """Slices are removed only after everything was made of them."""
    y, mps = small_volume
    job = volume.recon(y, smooth_prior, mps)
    with pytest.raises(OSError, match="disk full"):
        with job.finished(tmp_path / "out.npy", **QUIET) as found:
            assert found.images.shape == (3, 16, 16) and found.is_volume
            raise OSError("disk full")
    assert len(list((tmp_path / "out.npy.part").glob("0*.npy"))) == 3
    job.write(tmp_path / "out.npy", **QUIET)
    assert not (tmp_path / "out.npy.part").exists()


def test_samples_of_a_volume(small_volume, smooth_prior, tmp_path):
    """Slice i has seed + i, whichever slices are drawn; other options arrive."""
    y, mps = small_volume
    draw = functools.partial(
        volume.sample,
        y,
        smooth_prior,
        mps,
        num_samples=2,
        steps=3,
        seed=5,
        noise_std=0.01,
        method_options=dict(sigma_max=2.0),
    )
    x = draw().write(tmp_path / "out.npy", **QUIET)
    assert x.shape == (3, 2, 16, 16)
    [(i, last)] = draw(slices=slice(2, None)).run(**QUIET)
    assert i == 2
    np.testing.assert_array_equal(last, x[2])
    alone = PosteriorSampling(
        y[2],
        mps[2],
        smooth_prior,
        2,
        steps=3,
        seed=7,
        noise_std=0.01,
        sigma_max=2.0,
        show_pbar=False,
    )
    np.testing.assert_array_equal(alone.run(), last)


@pytest.mark.parametrize("name", ["out.npy", "{out}*[1].npy"])
def test_a_slice_goes_on_with_the_samples_it_has(
    small_volume, smooth_prior, tmp_path, monkeypatch, name
):
    """Interrupted within a slice: what was drawn is beside the output."""
    y, mps = small_volume
    out, chunks = tmp_path / name, []
    draw = PosteriorSampling._draw

    def counted(app, numbers):
        chunks.append(list(numbers))
        if len(chunks) == 5:
            raise KeyboardInterrupt
        return draw(app, numbers)

    monkeypatch.setattr(PosteriorSampling, "_draw", counted)
    job = volume.sample(
        y, smooth_prior, mps, num_samples=3, steps=3, chunk_size=1, noise_std=0.01
    )
    with pytest.raises(KeyboardInterrupt):
        job.write(out, **QUIET)
    assert checkpoint_file(out, 1).is_file()
    job.write(out, **QUIET)
    assert chunks == [[0], [1], [2], [0], [1], [1], [2], [0], [1], [2]]
    assert visible(tmp_path) == [name]
    assert not checkpoint_file(out, 1).exists()


def test_restart_discards_samples_of_a_slice(small_volume, smooth_prior, tmp_path):
    y, mps = small_volume
    out = tmp_path / "{out}*[1].npy"
    checkpoint_file(out, 2).write_bytes(b"of another run")
    other = tmp_path / ".other.00002.samples.npz"
    other.write_bytes(b"of another output")
    job = volume.sample(y[0], smooth_prior, mps[0], num_samples=2, steps=3)
    job.write(out, restart=True, **QUIET)
    assert not checkpoint_file(out, 2).exists() and other.exists()


def _fails(prior, i, y, mps, error, **options):
    """A slice that fails within SigPy's operators."""
    raise RuntimeError("Exceptions from <Sense Linop>.") from error


@pytest.mark.parametrize(
    "error", [ValueError("lamda must be > 0"), MemoryError("24 GB")]
)
def test_errors_name_the_slice_and_what_happened(small_volume, smooth_prior, error):
    y, mps = small_volume
    job = Job(y, _fails, smooth_prior, mps, options=dict(error=error))
    with pytest.raises(type(error)) as e:
        next(job.run(**QUIET))
    assert str(error.args[0]) in str(e.value) and "Exceptions" not in str(e.value)
    said = str(e.value) + "".join(getattr(e.value, "__notes__", ""))
    assert "kspace, slice 0" in said


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(prior=3), "prior: expected .* got int"),
        (dict(prior="missing"), "missing: no such prior"),
        (dict(precision="bfloat16"), "precision bfloat16: .* no denoising network"),
        (dict(weights=np.ones(3)), r"weights: got weights of shape \(3,\)"),
        (dict(maps=np.ones((1, 4, 16, 16), complex)), "maps: maps .* do not match"),
        (dict(slices=slice(7, None)), "kspace: no slice chosen"),
        (dict(device=99), "device 99: "),
    ],
)
def test_bad_arguments_are_named(small_volume, smooth_prior, change, words):
    y, mps = small_volume
    arguments = dict(prior=smooth_prior, maps=mps) | change
    with pytest.raises((ValueError, TypeError), match=words):
        next(volume.recon(y, **arguments).run(**QUIET))


def test_unknown_arguments_are_refused_at_once():
    with pytest.raises(TypeError, match="lambda_"):
        volume.recon("scan.h5", lambda_=1)


def test_fingerprints_of_files_and_arrays(tmp_path, rng):
    x = rng.normal(size=(3, 4))
    assert fingerprint(None) is None
    assert fingerprint(x) == fingerprint(x.copy()) == fingerprint(x.T.copy().T)
    assert len({str(fingerprint(a)) for a in (x, x.T, x + 1, x.astype("f4"))}) == 4
    for suffix in (".cfl", ".hdr"):
        (tmp_path / f"a{suffix}").write_text(suffix * 3)
    assert fingerprint(tmp_path / "a.hdr") == fingerprint(str(tmp_path / "a.cfl"))


def test_results_are_on_the_cpu(small_volume, smooth_prior):
    """Of any device that the app computed on."""

    def on_device(prior, i, y, mps, device, **options):
        assert isinstance(device, sp.Device) and device == sp.cpu_device
        return y.sum(axis=0)

    y, mps = small_volume
    options = dict(device=-1, coord=None, weights=None)
    out = compute_slice(
        on_device, "k", Preparation(), None, options, smooth_prior, 0, y[0], mps[0]
    )
    assert isinstance(out.image, np.ndarray)


def test_slices_that_go_together_are_the_same(small_volume, smooth_prior, monkeypatch):
    """Two groups, images one by one, each as alone."""
    y, mps = small_volume
    alone = dict(volume.recon(y, smooth_prior, mps, lamda=0.5).run(**QUIET))
    sizes = []
    denoise = type(smooth_prior).denoise
    monkeypatch.setattr(
        type(smooth_prior),
        "denoise",
        lambda self, x, sigma: sizes.append(x.shape) or denoise(self, x, sigma),
    )
    job = volume.recon(y, smooth_prior, mps, lamda=0.5, together=2)
    for i, image in job.run(**QUIET):
        assert np.abs(image - alone[i]).max() < 1e-4 * np.abs(alone[i]).max()
    assert (2, 16, 16) in sizes and (3, 16, 16) not in sizes


def test_slices_that_cannot_go_together_go_alone(small_volume, smooth_prior):
    y, mps = small_volume
    options = dict(solver="ADMM", max_iter=3)
    alone = dict(volume.recon(y, smooth_prior, mps, **options).run(**QUIET))
    job = volume.recon(y, smooth_prior, mps, together=3, **options)
    for i, image in job.run(**QUIET):
        np.testing.assert_array_equal(image, alone[i])
    draws = volume.sample(y, smooth_prior, mps, num_samples=2, steps=3, together=3)
    assert [i for i, _ in draws.run(**QUIET)] == [0, 1, 2]


def test_an_error_tells_which_of_several_slices(small_volume, smooth_prior):
    y, mps = small_volume
    bad = volume.recon(y, smooth_prior, mps, noise_std=1e200, together=3)
    with pytest.raises(ValueError, match="kspace, slice 0: noise_std must be at most"):
        list(bad.run(**QUIET))
    with pytest.raises(ValueError, match="together must be"):
        next(volume.recon(y, smooth_prior, mps, together=0).run(**QUIET))


def test_memory_that_runs_out_makes_groups_smaller(
    small_volume, smooth_prior, monkeypatch
):
    y, mps = small_volume
    alone = dict(volume.recon(y, smooth_prior, mps).run(**QUIET))
    denoise = type(smooth_prior).denoise

    def small(self, x, sigma):
        if x.ndim > 2 and len(x) > 1:
            raise MemoryError
        return denoise(self, x, sigma)

    monkeypatch.setattr(type(smooth_prior), "denoise", small)
    for i, image in volume.recon(y, smooth_prior, mps, together=3).run(**QUIET):
        assert np.abs(image - alone[i]).max() < 1e-4 * np.abs(alone[i]).max()


def test_a_list_of_slices_is_a_volume(small_volume, smooth_prior, tmp_path):
    y, mps = small_volume
    job = volume.recon(list(y), smooth_prior, tuple(mps))
    written = job.write(tmp_path / "out.npy", **QUIET)
    other = volume.recon(y, smooth_prior, mps).write(tmp_path / "other.npy", **QUIET)
    np.testing.assert_array_equal(written, other)
    assert fingerprint(list(y)) == fingerprint(y)
    with pytest.raises(ValueError, match="3 slices of shapes .* one shape"):
        next(volume.recon([y[0], y[1], y[2, :2]], smooth_prior, mps).run(**QUIET))
    with pytest.raises(ValueError, match="kspace: got generator, expected slices"):
        next(volume.recon((v for v in y), smooth_prior, mps).run(**QUIET))


def test_a_run_of_groups_goes_on(small_volume, smooth_prior, tmp_path, interrupt):
    y, mps = small_volume
    y, mps = np.concatenate([y, y]), np.concatenate([mps, mps])
    job = volume.recon(y, smooth_prior, mps, together=2)
    runs = interrupt(PriorRecon, 3)
    with pytest.raises(KeyboardInterrupt):
        job.write(tmp_path / "out.npy", **QUIET)
    written = job.write(tmp_path / "out.npy", **QUIET)
    assert written.shape == (6, 16, 16) and len(runs) == 4  # two groups, one, and again
