"""The command line, as its users type it."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from sigpy.mri import poisson
from sigpy.mri.linop import Sense

from sigpy_priors.app.recon import PriorRecon
from sigpy_priors.cli import main
from sigpy_priors.data.example import undersample
from sigpy_priors.io.cfl import read_cfl
from sigpy_priors.priors.gaussian import GaussianPrior
from sigpy_priors.scan.coils import mix
from sigpy_priors.scan.maps import estimate_maps
from sigpy_priors.show import metrics


@pytest.fixture
def gaussian(monkeypatch):
    """What every --prior loads here: a smooth stationary Gaussian prior."""
    v, u = np.mgrid[-32:32, -32:32]
    spectrum = 100 / (1 + u**2 + v**2) ** 1.5
    prior = GaussianPrior(np.zeros((64, 64), np.complex64), spectrum=spectrum)
    monkeypatch.setattr("sigpy_priors.load.load_prior", lambda name: prior)
    return prior


@pytest.fixture
def scan(tmp_path, brain_slice):
    """Files of 3 undersampled slices and their maps, in a folder.

    Returns:
        tuple: folder, k-space (3, 4, 64, 64), maps (4, 64, 64), image.
    """
    image, mps = brain_slice
    ksp = np.stack([(i + 1) * undersample(image, mps, 2, seed=i) for i in range(3)])
    np.save(tmp_path / "ksp.npy", ksp)
    np.save(tmp_path / "maps.npy", np.stack([mps] * 3))
    np.save(tmp_path / "ksp1.npy", ksp[0])
    np.save(tmp_path / "maps1.npy", mps)
    return tmp_path, ksp, mps, image


@pytest.fixture
def cli(capsys, scan, monkeypatch):
    """Run the command in the scan's folder: exit status, stdout, stderr."""
    monkeypatch.chdir(scan[0])

    def run(line):
        status = main(line.split())
        return status, *capsys.readouterr()

    return run


def one_line_error(result):
    """The error of a failed command, which must be one line."""
    status, _, err = result
    errors = [s for s in err.splitlines() if s.startswith("sigpy-priors: error: ")]
    assert status == 2 and len(errors) == 1 and "Traceback" not in err
    assert err.rstrip().endswith(errors[0])
    return errors[0]


def test_volume_is_what_the_app_gives(cli, scan, gaussian):
    folder, ksp, mps, _ = scan
    status, out, err = cli("recon ksp.npy --maps maps.npy -o out.npy")
    assert status == 0 and "out.npy: (3, 64, 64) complex64" in out
    assert "3/3" in err, "no progress bar"
    images = np.load("out.npy")
    for i in range(3):
        alone = PriorRecon(ksp[i], mps, gaussian, show_pbar=False).run()
        np.testing.assert_allclose(images[i], alone, rtol=1e-5, atol=1e-6)
    assert not (folder / "out.npy.part").exists()


def test_one_slice_with_estimated_maps(cli, scan, gaussian):
    image = scan[3]
    assert cli("recon ksp1.npy -o out.cfl")[0] == 0
    zero_filled = Sense(scan[2]).H * scan[1][0]
    out = np.squeeze(read_cfl("out.cfl"))
    assert out.shape == (64, 64)
    assert metrics.psnr(out, image) > 2 + metrics.psnr(zero_filled, image)


def test_every_option_reaches_the_app(cli, scan, gaussian):
    folder, ksp, mps, _ = scan
    weights = (np.abs(ksp[0]).sum(axis=0) > 0).astype(np.float32) / 2
    np.save("weights.npy", weights)
    options = "--lamda 0.5 --solver GradientMethod --max-iter 7 --noise-std 0.05"
    cli(
        f"recon ksp1.npy --maps maps1.npy -o out.npy {options} --weights weights.npy "
        "--coil-batch-size 1 --device -1 --transp-nufft"
    )
    alone = PriorRecon(
        ksp[0],
        mps,
        gaussian,
        lamda=0.5,
        solver="GradientMethod",
        max_iter=7,
        noise_std=0.05,
        weights=weights,
        show_pbar=False,
    ).run()
    np.testing.assert_allclose(np.load("out.npy"), alone, rtol=1e-4, atol=1e-5)
    assert cli("recon ksp1.npy --maps maps1.npy -o default.npy")[0] == 0
    assert np.abs(np.load("default.npy") - alone).max() > 1e-3


def test_options_of_coils(cli, scan, gaussian):
    """Maps are told what they cost; noise and maps go together."""
    _, ksp, mps, image = scan
    status, out, _ = cli("recon ksp1.npy -o a.npy --coils 3")
    assert status == 0 and re.search(r"maps [\d.]+ s a slice", out)
    root = np.diag(np.linspace(1, 9, len(mps)))
    np.save("noise.npy", root @ root)
    np.save("ksp2.npy", mix(root, ksp[0]))
    np.save("maps2.npy", mix(root, mps).astype(np.complex64))
    # The level is that of all coils together, in the units of the k-space.
    level = 0.05 * np.sqrt(np.mean(np.diag(root) ** 2))
    line = f"--maps maps2.npy -o b.npy --noise-std {level} --noise noise.npy"
    status, out, _ = cli("recon ksp2.npy " + line)
    assert status == 0 and " s a slice" not in out
    cli("recon ksp1.npy --maps maps1.npy -o c.npy --noise-std 0.05")
    for name in "ab":
        assert metrics.psnr(np.load(f"{name}.npy"), image) > 20
    b, c = np.load("b.npy"), np.load("c.npy")
    assert np.linalg.norm(b - c) < 1e-3 * np.linalg.norm(c)


def test_shape_is_of_trajectories(cli, scan, gaussian):
    assert "--coord" in one_line_error(cli("recon ksp1.npy -o out.npy --shape 64x64"))


@pytest.mark.parametrize("maps", ["--maps maps1.npy", ""])
def test_noncartesian(cli, brain_slice, gaussian, maps):
    """A radial scan with and without maps, against the image."""
    image, mps = brain_slice
    angles = np.pi * np.arange(96) / 96
    radius = np.linspace(-32, 32, 128)
    coord = radius[:, None] * np.stack([np.sin(angles), np.cos(angles)], -1)[:, None]
    np.save("coord.npy", coord)
    np.save("radial.npy", Sense(mps, coord=coord) * image)
    status, _, err = cli(f"recon radial.npy --coord coord.npy {maps} -o out.npy")
    assert status == 0, err
    out = np.load("out.npy")
    assert metrics.psnr(out, image) > 20
    line = f"recon radial.npy --coord coord.npy {maps} -o other.npy --shape"
    # This prior is of images 64 x 64; given maps are, too.
    assert ("maps" if maps else "64") in one_line_error(cli(f"{line} 80,72"))


@pytest.mark.slow
def test_real_kspace(cli, shared_data, brain):
    """A real scan, undersampled, with nothing but its file: against all of it."""
    full = np.load(shared_data / "kspace" / "brain8_espirit_full_8x180x230.npy")
    mask = poisson(full.shape[1:], 4, calib=(24, 24), dtype=np.float32)
    np.save("real.npy", full * mask)
    assert cli("recon real.npy -o out.npy")[0] == 0
    mps = estimate_maps(full)
    adjoint = Sense(mps).H
    psnr = metrics.psnr(np.load("out.npy"), adjoint * full)
    assert psnr > 5 + metrics.psnr(adjoint * (full * mask), adjoint * full)


def test_some_slices(cli, scan, gaussian):
    cli("recon ksp.npy --maps maps.npy -o all.npy")
    cli("recon ksp.npy --maps maps.npy -o some.npy --slices 1:")
    cli("recon ksp.npy --maps maps.npy -o one.npy --slices 2")
    images = np.load("all.npy")
    np.testing.assert_array_equal(np.load("some.npy"), images[1:])
    np.testing.assert_array_equal(np.load("one.npy"), images[2:])
    assert "no slice chosen" in one_line_error(
        cli("recon ksp.npy --maps maps.npy -o out.npy --slices 3:")
    )


class Interrupted:
    """A prior that is interrupted when the second slice begins."""

    def __init__(self, monkeypatch):
        self.count = 0
        self.original = PriorRecon.run
        monkeypatch.setattr(PriorRecon, "run", lambda app: self.run(app))
        self.after = 1

    def run(self, app):
        if self.count == self.after:
            raise KeyboardInterrupt
        self.count += 1
        return self.original(app)


def test_interrupted_run_continues(cli, scan, gaussian, monkeypatch):
    command = "recon ksp.npy --maps maps.npy -o out.npy"
    cli("recon ksp.npy --maps maps.npy -o whole.npy")
    interrupted = Interrupted(monkeypatch)
    status, _, err = cli(command)
    assert status == 130 and "interrupted" in err
    assert not (scan[0] / "out.npy").exists()

    other = one_line_error(cli(f"{command} --lamda 2"))
    assert "lamda None, now 2.0" in other and "--restart" in other
    data, times = np.load("ksp.npy"), os.stat("ksp.npy")
    np.save("ksp.npy", data * 1.001)
    os.utime("ksp.npy", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert "unfinished run" in one_line_error(cli(command)), "data changed unnoticed"
    np.save("ksp.npy", data)

    interrupted.count, interrupted.after = 0, 3
    assert cli(f"{command} --lamda 2 --restart")[0] == 0
    assert interrupted.count == 3

    # What was made with other settings is not written over without a word.
    made = one_line_error(cli(command))
    assert "out.npy: is there already" in made and "lamda 2.0, now None" in made
    os.remove("out.npy")

    # From the start again, now with nothing changed in between.
    interrupted.count, interrupted.after = 0, 2
    assert cli(command)[0] == 130
    interrupted.count, interrupted.after = 0, 3
    assert cli(command)[0] == 0
    assert interrupted.count == 1, "finished slices were computed again"
    np.testing.assert_array_equal(np.load("out.npy"), np.load("whole.npy"))


def test_killed_run_continues(cli, scan, tiny_prior_file):
    """SIGKILL in the middle of a volume: the result is that of a run in peace."""
    folder, ksp, mps, _ = scan
    np.save(folder / "ksp.npy", np.concatenate([ksp] * 8))
    np.save(folder / "maps.npy", np.stack([mps] * 24))

    args = f"recon ksp.npy --maps maps.npy --prior {tiny_prior_file} -o "
    command = [sys.executable, "-m", "sigpy_priors", *f"{args}out.npy".split()]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE)
    part = folder / "out.npy.part"
    deadline = time.monotonic() + 120
    while len(list(part.glob("0*.npy"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    finished = len(list(part.glob("0*.npy")))
    assert 2 <= finished < 24 and not (folder / "out.npy").exists()
    status, _, err = cli(f"{args}out.npy")
    assert status == 0 and f"{finished}/24" in err, "did not continue"
    assert cli(f"{args}whole.npy")[0] == 0
    np.testing.assert_allclose(np.load("out.npy"), np.load("whole.npy"), atol=1e-5)


@pytest.mark.parametrize(
    "line, text",
    [
        ("recon missing.npy -o out.npy", "missing.npy: no such file"),
        ("recon ksp1.npy -o out.tif", "unknown ending '.tif'"),
        ("recon ksp1.npy -o no/out.npy", "make it first"),
        ("recon ksp1.npy -o out.npy --maps maps.npy", "do not match the k-space"),
        ("recon ksp1.npy -o out.npy --lamda -1", "lamda must be > 0"),
        ("recon ksp1.npy -o out.npy --solver FISTA", "solver must be one of hqs"),
        ("recon ksp1.npy -o out.npy --max-iter 0", "max_iter must be"),
        ("recon ksp1.npy -o out.npy --noise-std -1", "noise_std must be"),
        ("recon ksp1.npy -o out.npy --weights bad.npy", "got weights of shape (3,)"),
        ("recon nan.npy -o out.npy", "nan.npy: 1 of 16384 numbers are NaN"),
        ("recon zero.npy -o out.npy", "zero.npy: all zero"),
        (
            "recon sparse.npy -o out.npy",
            "from aliasing; measure a few more samples there, or give maps",
        ),
        ("recon ksp1.npy -o out.npy --device 99", "device 99"),
        ("recon ksp1.npy -o out.npy --precision bfloat16", "no denoising network"),
        ("train missing.yaml --data . --out .", "missing.yaml"),
        ("info missing", "no such prior"),
    ],
)
def test_one_line_for_each_error(cli, scan, gaussian, line, text):
    ksp = scan[1][0]
    np.save("bad.npy", np.ones(3))
    np.save("zero.npy", 0 * ksp)
    np.save("nan.npy", np.where(np.arange(ksp.size).reshape(ksp.shape), ksp, np.nan))
    np.save("sparse.npy", ksp * (np.arange(64) % 2))
    assert text in one_line_error(cli(line))
    # Nothing is left that would stand in the way of the corrected command.
    assert not list(scan[0].glob("*.part"))


def test_an_error_names_the_slice(cli, scan, gaussian):
    ksp = scan[1].copy()
    ksp[1, :, 30:34] = 0
    np.save("gap.npy", ksp)
    assert "gap.npy, slice 1: " in one_line_error(cli("recon gap.npy -o out.npy"))


def test_list_and_info(cli, tiny_prior_file, monkeypatch):
    for module in ("priors.file", "load"):
        monkeypatch.setattr(
            f"sigpy_priors.{module}.bundled", lambda: {"tiny": tiny_prior_file}
        )
    status, out, _ = cli("list")
    assert status == 0 and out.split()[0] == "tiny" and "sigma 0.01 to 2" in out
    status, out, _ = cli("info tiny")
    assert status == 0 and "name: tiny" in out and "architecture: unet" in out


def test_train_prints_its_config(cli):
    with open("config.yaml", "w") as f:
        f.write("name: tiny\ndata: {train: ['*.npz']}\n")
    status, out, _ = cli("train config.yaml --print-config")
    assert status == 0 and "batch_size: 16" in out
    assert "needs --data" in one_line_error(cli("train config.yaml"))


def test_train_trains(cli, brain_slice, tiny_prior_file):
    np.savez("train.npz", img=np.stack([np.abs(brain_slice[0])] * 3))
    with open("config.yaml", "w") as f:
        f.write(
            "name: tiny\n"
            "data: {train: [train.npz], val: [train.npz], crop: [16]}\n"
            "model: {options: {channels: [4], blocks: [1], emb_channels: 8}}\n"
            "optim: {steps: 2, batch_size: 2, warmup: 1}\n"
            "val_images: 1\n"
        )
    status, out, err = cli("train config.yaml --data . --out run --device cpu")
    assert status == 0, err
    assert "finished" in out
    path = out.split(":")[0]
    assert cli(f"info {path}")[0] == 0


def test_help_is_fast_and_complete():
    """The list of commands needs none of the libraries behind them."""
    code = (
        "import sys; from sigpy_priors.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'sigpy', 'torch', 'bart_plugin'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    assert out.rstrip().endswith("[]")
    for command in ("recon", "list", "info", "train", "demo", "example", "export"):
        assert command in out


def test_any_error_is_one_line(cli, scan, gaussian, monkeypatch):
    """What SigPy wraps, and what is no mistake of the input: cause, not wrapper."""

    def run(app):
        raise RuntimeError("Exceptions from <Sense Linop>.") from TypeError(
            "no float128"
        )

    monkeypatch.setattr(PriorRecon, "run", run)
    line = "recon ksp1.npy --maps maps1.npy -o out.npy"
    error = one_line_error(cli(line))
    assert error.endswith("ksp1.npy, slice 0: TypeError: no float128")
    status, _, err = cli(f"{line} --debug")
    assert status == 2 and "Traceback" in err and err.splitlines()[-1] == error


def test_debug_may_stand_anywhere(cli):
    for line in ("--debug info missing", "info missing --debug"):
        status, _, err = cli(line)
        assert status == 2 and "Traceback" in err and "no such prior" in err


def test_one_entry(tmp_path):
    """`python -m sigpy_priors` says what the script says."""
    run = subprocess.run(
        [sys.executable, "-m", "sigpy_priors", "info", "missing"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert run.returncode == 2 and "missing: no such prior" in run.stderr
    assert len(run.stderr.splitlines()) == 1
