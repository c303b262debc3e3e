"""Apps on a GPU: by a strict stand-in for cupy everywhere, on hardware if it is there."""

import contextlib
import runpy
from pathlib import Path

import fake_cupy
import numpy as np
import pytest
import sigpy as sp

from sigpy_priors import load_prior
from sigpy_priors.app import PosteriorSampling, PriorRecon
from sigpy_priors.app.solvers import HQS
from sigpy_priors.backend import arrays
from sigpy_priors.data.example import undersample
from sigpy_priors.posterior.samplers import Denoiser, Noise, moment
from sigpy_priors.scan.sense import sense_problem


@pytest.fixture
def cupy(monkeypatch):
    """SigPy with a GPU whose memory is the host's; what is moved is counted."""
    cp = fake_cupy.make()
    monkeypatch.setattr(sp.config, "cupy_enabled", True)
    monkeypatch.setattr(sp.backend, "cp", cp, raising=False)
    # torch has no GPU here; which stream it would get is tested by itself.
    monkeypatch.setattr(
        arrays, "_torch_stream", lambda pointer, gpu: contextlib.nullcontext()
    )
    monkeypatch.setattr(
        "sigpy_priors.backend.memory._need", lambda function, gpu: 1 << 30
    )
    monkeypatch.setattr("sigpy_priors.backend.memory._free", lambda gpu: 16 << 30)
    return cp


@pytest.fixture(scope="module")
def case(brain_slice, tiny_prior_file):
    """k-space, maps and a small prior."""
    image, mps = brain_slice
    return undersample(image, mps, 2), mps, load_prior(tiny_prior_file)


def test_the_stand_in_is_as_strict_as_cupy(cupy):
    host, device = np.ones((2, 3)), cupy.asarray(np.ones((2, 3)))
    for mixed in (
        lambda: host + device,
        lambda: device + host,
        lambda: cupy.concatenate([device, host]),
        lambda: np.concatenate([device, host]),
        lambda: np.asarray(device),
        lambda: device.__setitem__(0, host[0]),
    ):
        with pytest.raises(TypeError):
            mixed()
    assert cupy.moves.up == [6] and not cupy.moves.down
    np.testing.assert_array_equal(sp.to_device(2 * device + 1), 2 * host + 1)
    assert cupy.moves.down == [6]


def test_denoising_moves_nothing(cupy, case):
    _, _, prior = case
    x = cupy.asarray(np.ones((2, 16, 16), np.complex64))
    cupy.moves.up.clear()
    out = prior.denoise(x, 0.2)
    assert isinstance(out, cupy.ndarray) and not cupy.moves.up + cupy.moves.down
    expected = prior.denoise(np.ones((2, 16, 16), np.complex64), 0.2)
    np.testing.assert_allclose(out.get(), expected, rtol=1e-6)
    score = prior.score(x, 0.2)
    assert isinstance(score, cupy.ndarray) and len(cupy.moves.down) == 1


@pytest.mark.parametrize("solver", ["hqs", "GradientMethod", "ADMM"])
@pytest.mark.parametrize("weighted", [False, True])
def test_recon_moves_its_input_once(cupy, case, solver, weighted):
    y, mps, prior = case
    weights = (np.abs(y).sum(axis=0) > 0).astype(np.float32) / 2 if weighted else None
    options = dict(
        weights=weights, solver=solver, max_iter=3, show_pbar=False, noise_std=0.05
    )
    expected = PriorRecon(y, mps, prior, **options).run()
    app = PriorRecon(y, mps, prior, device=0, **options)
    # K-space, maps, weights, and a draw of noise: a seed is the same everywhere.
    expected_up = [y.size, mps.size, y.size] + [y[0].size] * weighted
    if solver == "GradientMethod":
        expected_up.append(y[0].size)  # the power method begins with one
    assert sorted(n for n in cupy.moves.up if n > 1) == sorted(expected_up)
    # Products of coils with each other, but no image.
    assert not [n for n in cupy.moves.down if n > len(y) ** 2]
    cupy.moves.up.clear()
    cupy.moves.down.clear()
    image = app.run()
    assert isinstance(image, cupy.ndarray)
    assert not [n for n in cupy.moves.up + cupy.moves.down if n > 1]
    np.testing.assert_allclose(image.get(), expected, rtol=1e-4, atol=1e-5)


def test_recon_with_a_density_stays_on_the_device(cupy, case, density):
    y, mps, _ = case
    y, mps = y[:, 24:40, 24:40], mps[:, 24:40, 24:40]
    options = dict(max_iter=2, show_pbar=False, noise_std=0.05)
    expected = PriorRecon(y, mps, density, **options).run()
    app = PriorRecon(y, mps, density, device=0, **options)
    cupy.moves.up.clear()
    cupy.moves.down.clear()
    image = app.run()
    assert not [n for n in cupy.moves.up + cupy.moves.down if n > 1]
    np.testing.assert_allclose(image.get(), expected, rtol=1e-3, atol=1e-4)


def test_arrays_on_the_device_are_not_moved(cupy, case):
    y, mps, prior = case
    device = sp.Device(0)
    y_there, mps_there = sp.to_device(y, device), sp.to_device(mps, device)
    cupy.moves.up.clear()
    app = PriorRecon(
        y_there, mps_there, prior, noise_std=0.05, device=device, show_pbar=False
    )
    # A draw of noise, and nothing that was there already; down, no more than a row.
    assert {n for n in cupy.moves.up if n > y.shape[-1]} <= {y.size}
    assert not [n for n in cupy.moves.down if n > y.shape[-1]]
    cupy.moves.up.clear()
    cupy.moves.down.clear()
    app.run()
    assert not [n for n in cupy.moves.up + cupy.moves.down if n > len(y) ** 2]


def test_sampling_moves_its_input_once_and_then_noise_only(cupy, case, monkeypatch):
    y, mps, prior = case
    # Solved to the end: one step more or less would not be the device's doing.
    monkeypatch.setattr(moment, "_INNER_ITER", 40)
    monkeypatch.setattr(moment, "_INNER_TOL", 1e-6)
    options = dict(num_samples=2, steps=3, noise_std=0.05, show_pbar=False, seed=3)
    expected = PosteriorSampling(y, mps, prior, **options).run()
    app = PosteriorSampling(y, mps, prior, device=0, **options)
    assert y.size in cupy.moves.up and app.chunk_size == 2
    cupy.moves.up.clear()
    cupy.moves.down.clear()
    samples = app.run()
    assert isinstance(samples, cupy.ndarray)
    assert not [n for n in cupy.moves.down if n > 1]
    # Noise is drawn on the CPU, so that a seed means the same on every device.
    assert set(cupy.moves.up) <= {1, 2 * y[0].size, 2 * y.size}
    # Single precision: conjugate gradients may stop a step sooner or later.
    np.testing.assert_allclose(samples.get(), expected, rtol=1e-3, atol=1e-3)
    assert app.std.get().shape == y.shape[1:]


def test_launches_of_a_batch_are_those_of_one(cupy, case):
    """Operators, proxes and conjugate gradients; the host waits once in a few steps."""
    y, mps, _ = case
    problem = sense_problem(y, mps, noise_std=0.05, device=0)
    rng = np.random.default_rng(0)
    z, data = (
        cupy.asarray((rng.standard_normal((5, *s)) * (1 + 1j)).astype(np.complex64))
        for s in (problem.shape, y.shape)
    )
    other = problem.in_units_of(0.3)
    for of in (
        lambda n: problem.normal(z[:n]),
        lambda n: problem.forward(z[:n]),
        lambda n: problem.adjoint(data[:n]),
        lambda n: other.gradient(z[:n]),
        lambda n: problem.prox(0.3, z[:n], None, 12, 0.0),
        lambda n: other.solve(
            0.1 * cupy.ones((n, 1, 1), np.float32), z[:n], None, 12, 0
        ),
    ):
        of(1)  # what is kept for all calls
        counts = []
        for n in (2, 5):
            cupy.moves.clear()
            out = of(n)
            counts.append((cupy.moves.launches, cupy.moves.waits))
            assert len(out) == n and not cupy.moves.up + cupy.moves.down
        assert counts[0] == counts[1] and counts[0][0] > 0
        assert counts[0][1] <= 12 / 4


def test_launches_of_samples_are_those_of_one(cupy, case, monkeypatch):
    y, mps, prior = case
    monkeypatch.setattr(moment, "_INNER_TOL", 0.0)
    counts = []
    for n in (2, 6):
        app = PosteriorSampling(
            y, mps, prior, n, steps=3, noise_std=0.05, products=6, device=0,
            show_pbar=False,
        )  # fmt: skip
        data, noise = app.data, Noise(0, range(n), app.data.y)
        cupy.moves.clear()
        moment.mmps(Denoiser(prior), data, noise, app.sigmas, products=6)
        counts.append((cupy.moves.launches, cupy.moves.waits))
    assert counts[0] == counts[1]


def _slices(y, mps, n):
    """n slices: rolled, of other units, noise and sampling."""
    rng = np.random.default_rng(0)
    noise = 0.02 * rng.standard_normal((n, *y.shape)) * (y != 0)
    ys = [
        10.0**i * (np.roll(y, i, -1) + np.roll(e, i, -1)) for i, e in enumerate(noise)
    ]
    return np.stack(ys).astype(y.dtype), np.stack(
        [np.roll(mps, i, -1) for i in range(n)]
    )


def test_slices_together_are_slices_one_by_one(cupy, case):
    y, mps, prior = case
    y, mps = _slices(y, mps, 3)
    mps[1, 0] = y[1, 0] = 0  # a coil less
    expected = PriorRecon(y, mps, prior, slices=True, show_pbar=False).run()
    app = PriorRecon(y, mps, prior, slices=True, device=0, show_pbar=False)
    images = app.run()
    assert isinstance(images, cupy.ndarray) and app.problem._normal is not None
    size = np.abs(expected).max(axis=(1, 2))[:, None, None]
    np.testing.assert_allclose(images.get() / size, expected / size, atol=1e-3)


def test_launches_of_slices_are_those_of_one(cupy, case):
    """Of an iteration: the host waits once, however many slices there are."""
    y, mps, prior = case
    y, mps = _slices(y, mps, 4)
    hqs = HQS(cg_tol=1e-9, cg_iter=8)  # as many steps everywhere
    per_iteration = []
    for n in (2, 4):
        counts = []
        for limit in (2, 5):
            app = PriorRecon(
                y[:n], mps[:n], prior, solver=hqs, max_iter=limit, slices=True,
                device=0, show_pbar=False,
            )  # fmt: skip
            cupy.moves.clear()
            app.run()
            counts.append((cupy.moves.launches, cupy.moves.waits, len(cupy.moves.up)))
        per_iteration.append(np.subtract(*counts[::-1]) / 3)
    launches, waits, up = per_iteration[0]
    np.testing.assert_array_equal(per_iteration[1], per_iteration[0])
    assert launches > 0 and waits <= 8 / 4 + 1


def test_coordinates_are_moved_once(cupy, case, monkeypatch):
    """As far as there is no GPU: SigPy's gridding runs on one only."""
    seen = {}
    monkeypatch.setattr(
        "sigpy_priors.linop.multicoil.Sense",
        lambda mps, **kwargs: seen.update(kwargs, mps=mps) or sp.linop.Identity((3,)),
    )
    y, mps = np.ones((2, 5), np.complex64), np.ones((2, 16, 16), np.complex64)
    coord = np.arange(10.0).reshape(5, 2) - 4
    with contextlib.suppress(RuntimeError, ValueError):  # Identity has another shape
        sense_problem(y, mps, coord=coord, noise_std=1.0, device=0)
    assert isinstance(seen["coord"], cupy.ndarray)
    assert isinstance(seen["mps"], cupy.ndarray)


def test_torch_works_on_the_stream_of_cupy(cupy, monkeypatch):
    entered = []
    monkeypatch.setattr(
        arrays,
        "_torch_stream",
        lambda *args: entered.append(args) or contextlib.nullcontext(),
    )
    cupy.cuda.stream.ptr = 42
    with arrays.on_stream_of(cupy.asarray(np.ones(2))):
        assert entered == [(42, 0)]
    with arrays.on_stream_of(np.ones(2)):
        assert len(entered) == 1


def test_the_benchmark_runs_on_the_cpu(tiny_prior_file, capsys):
    path = Path(__file__).parent / "benchmarks" / "gpu.py"
    options = (
        "--device -1 --size 64 --coils 2 --batch 2 --samples 2 --steps 3 --slices 2"
    )
    runpy.run_path(str(path))["main"](
        f"--prior {tiny_prior_file} {options} --repeats 1 --matrix 64".split()
    )
    lines = capsys.readouterr().out.splitlines()
    rows = [[c.strip() for c in s.split("|")[1:-1]] for s in lines if "|" in s][2:]
    assert [r[0] for r in rows] == ["full", "bfloat16"]
    for row in rows:
        assert all(float(v.rstrip("%")) >= 0 for v in row[1:]) and float(row[3]) > 0


# On hardware.


@pytest.fixture
def gpu():
    """The real cupy."""
    return pytest.importorskip("cupy")


def _pointer(x):
    return x.data.ptr


@pytest.mark.gpu
def test_cupy_and_torch_share_memory(gpu):
    x = gpu.arange(12, dtype=gpu.complex64).reshape(3, 4)
    t = arrays.to_torch(x)
    assert t.is_cuda and t.data_ptr() == _pointer(x)
    back = arrays.from_torch(t, x)
    assert isinstance(back, gpu.ndarray) and _pointer(back) == _pointer(x)


@pytest.mark.gpu
def test_no_image_visits_the_host(gpu, case, monkeypatch):
    """Every way that cupy has to the host and back fails for an image."""
    y, mps, prior = case
    move = sp.to_device
    y, mps = gpu.asarray(y), gpu.asarray(mps)
    expected = prior.denoise(gpu.asnumpy(y), 0.2)

    def forbidden(*args, **kwargs):
        raise AssertionError("an image was copied between host and device")

    def stays(x, device=sp.cpu_device):
        if x.size <= len(y) ** 2:  # what one coil has to do with another
            return move(x, device)
        assert sp.get_device(x) == sp.Device(device), "an array was moved"
        return x

    with monkeypatch.context() as patched:
        patched.setattr(gpu, "asnumpy", forbidden)
        patched.setattr(sp, "to_device", stays)
        patched.setattr(sp.backend, "to_device", stays)
        patched.setattr("torch.Tensor.cpu", forbidden)
        patched.setattr("torch.Tensor.numpy", forbidden)
        out = prior.denoise(y, 0.2)
        image = PriorRecon(y, mps, prior, device=0, show_pbar=False).run()
    assert out.device == y.device and image.device == y.device
    np.testing.assert_allclose(gpu.asnumpy(out), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.gpu
def test_a_stream_of_its_own(gpu, case):
    """Work that is still to come on cupy's stream is waited for, and waits."""
    _, _, prior = case
    host = np.random.default_rng(0).standard_normal((4, 256, 256)) * (1 + 1j)
    expected = prior.denoise(host, 0.2)
    slow = gpu.random.standard_normal((4096, 4096))
    with gpu.cuda.Stream(non_blocking=True) as stream:
        for _ in range(5):
            x = gpu.asarray(host)
            for _ in range(20):
                slow = gpu.tanh(slow @ slow / 64)  # busy, and bounded
            x = x + 0 * slow[0, 0].real  # only now there are values in x
            out = prior.denoise(x, 0.2) * 1
            del x
            gpu.zeros((4, 256, 256), complex)  # would take the freed memory
        stream.synchronize()
    np.testing.assert_allclose(gpu.asnumpy(out), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.gpu
def test_apps_give_what_they_give_on_the_cpu(gpu, case):
    y, mps, prior = case
    for app, options in (
        (PriorRecon, {}),
        (PosteriorSampling, dict(num_samples=2, steps=3, seed=1)),
    ):
        options = options | dict(noise_std=0.05, show_pbar=False)
        expected = app(y, mps, prior, **options).run()
        found = app(y, mps, prior, device=0, **options).run()
        assert isinstance(found, gpu.ndarray)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(gpu.asnumpy(found), expected, atol=2e-3 * scale)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
@pytest.mark.parametrize("compiled", [False, True])
def test_precision_and_compilation(gpu, brain, precision, compiled):
    x = gpu.random.standard_normal((2, 64, 64)).astype(gpu.complex64) / 4
    fast = brain.with_options(precision, compiled)
    expected = brain.denoise(x, 0.2)
    for _ in range(3):  # a CUDA graph is recorded, then replayed
        out = fast.denoise(x, 0.2)
    assert float(gpu.abs(out - expected).max()) < 0.02


@pytest.mark.gpu
def test_free_memory_bounds_a_batch(gpu, brain):
    import torch

    from sigpy_priors.backend import memory

    x = torch.zeros((1, 256, 256), dtype=torch.complex64, device="cuda")
    fits = memory.fitting(lambda: brain.denoise(x, 0.1), 0, 1 << 20)
    assert 1 < fits < 1 << 20
