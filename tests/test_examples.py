"""Every example runs, and says what it should."""

import ast
import importlib.util
import os
import re
import runpy
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from sigpy_priors.cli import main
from sigpy_priors.data.example import undersample

EXAMPLES = Path(__file__).parents[1] / "examples"
# Found, not imported: to import it changes what Ctrl-C does.
needs_jobqueue = pytest.mark.skipif(
    not importlib.util.find_spec("dask_jobqueue"), reason="needs dask_jobqueue"
)


def run(name, argv, capsys):
    runpy.run_path(str(EXAMPLES / name))["main"](argv)
    return capsys.readouterr().out


def test_drop_in(tmp_path, capsys):
    picture = tmp_path / "drop_in.png"
    out = run("1_drop_in.py", ["--out", str(picture)], capsys)
    before, after = (float(x) for x in re.findall(r"([\d.]+) dB", out))
    assert after > before + 2
    assert picture.stat().st_size > 10_000


def test_own_script(capsys):
    lines = run("2_own_script.py", [], capsys).splitlines()
    assert lines
    for line in lines:
        before, after = (float(w) for w in line.split() if w.replace(".", "").isdigit())
        assert after > before + 1


def test_own_prior(capsys):
    out = run("3_own_prior.py", [], capsys)
    assert float(out.split()[-1]) < 1e-3


def test_no_maps(tmp_path, capsys):
    picture = tmp_path / "joint.png"
    out = run("5_no_maps.py", ["--out", str(picture)], capsys)
    assert picture.stat().st_size > 10_000
    assert float(out.split()[-1]) > 0.999


def test_slurm_names_what_it_lacks(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    with pytest.raises(SystemExit, match=r"dask_jobqueue .*'\.\[cluster\]'"):
        run("9_slurm.py", ["--show"], capsys)


def test_multiband(tmp_path, capsys):
    picture = tmp_path / "sms.png"
    out = run("6_multiband.py", ["--out", str(picture)], capsys)
    assert picture.stat().st_size > 10_000
    sense, prior = (float(w) for w in out.replace(",", " ").split() if "0." in w)
    assert prior < sense / 2


def test_phases(tmp_path, capsys):
    picture = tmp_path / "phases.png"
    out = run("10_phases.py", ["--size", "64", "--out", str(picture)], capsys)
    assert picture.stat().st_size > 10_000
    own, drawn, noise = (
        float(w) for w in out.replace(",", " ").split() if w.replace(".", "").isdigit()
    )
    assert drawn < 2 * own < noise / 4


def test_density_samples(tmp_path, capsys):
    picture = tmp_path / "chains.png"
    argv = ["--size", "16", "--out", str(picture)]
    out = run("11_density_samples.py", argv, capsys)
    assert picture.stat().st_size > 10_000
    assert ": converged after" in out


def test_convex_energy(tmp_path, capsys):
    picture = tmp_path / "convex.png"
    argv = ["--max-iter", "30", "--out", str(picture)]
    out = run("7_convex_energy.py", argv, capsys)
    assert picture.stat().st_size > 10_000
    assert float(out.split()[-1]) < 0.01


@needs_jobqueue
def test_slurm_script_asks_for_what_it_was_told(tmp_path, capsys):
    interrupt = signal.getsignal(signal.SIGINT)
    options = "--show --gpu --cpus 4 --memory 16GB --time 01:30:00 --partition fast"
    options = [*options.split(), "--sbatch=--account=lab", "--shared", str(tmp_path)]
    script = run("9_slurm.py", options, capsys)
    for line in (
        "#SBATCH -p fast",
        "#SBATCH --cpus-per-task=4",
        "#SBATCH --mem=15G",
        "#SBATCH -t 01:30:00",
        "#SBATCH --gres=gpu:1",
        "#SBATCH --account=lab",
        "export OMP_NUM_THREADS=4 OPENBLAS_NUM_THREADS=4",
    ):
        assert line in script.splitlines(), script
    assert (
        "dask_worker tls://" in script
        and "--tls-key" in script
        and "--nthreads 1 " in script
    )
    assert signal.getsignal(signal.SIGINT) is interrupt


@needs_jobqueue
def test_slurm_jobs_reconstruct(tmp_path, brain_slice, tiny_prior_file, monkeypatch):
    """With an sbatch that runs its script right here: the job does the work."""
    tools = {
        "sbatch": f'cp "$1" {tmp_path}/job.sh\n'
        f"sh {tmp_path}/job.sh > {tmp_path}/job.log 2>&1 &\n"
        'echo "Submitted batch job $!"',
        "scancel": 'kill "$@"',
    }
    for name, script in tools.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)
    image, mps = brain_slice
    np.save("ksp.npy", np.stack([undersample(image, mps, 2)] * 2))
    np.save("maps.npy", np.stack([mps] * 2))
    command = f"recon ksp.npy --maps maps.npy --prior {tiny_prior_file} -o".split()
    options = ["--jobs", "1", "--interface", "lo", "--scratch", str(tmp_path)]
    options += ["--shared", str(tmp_path), "--"]
    example = runpy.run_path(str(EXAMPLES / "9_slurm.py"))["main"]
    assert example([*options, *command, "there.npy"]) == 0
    assert main([*command, "here.npy"]) == 0
    np.testing.assert_allclose(np.load("there.npy"), np.load("here.npy"), atol=1e-5)


def test_compare_priors(tmp_path, capsys):
    picture = tmp_path / "compare.png"
    priors = ["brain", "brain-pixelcnn", "brain-pixelcnn-magnitude"]
    argv = ["--size", "64", "--max-iter", "4", "--out", str(picture)]
    argv += ["--priors", *priors]
    out = run("4_compare_priors.py", argv, capsys)
    table = [line.split("|")[1].strip() for line in out.splitlines() if "|" in line]
    assert table[2:] == ["L1-wavelet", *priors]
    assert picture.stat().st_size > 10_000


def test_every_example_is_run_here():
    """Each is in a call, or a path, of a test; the BART twin's is in tests/bart."""
    tests = [Path(__file__), *(Path(__file__).parent / "bart").glob("test_*.py")]
    used = [
        node
        for file in tests
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call | ast.BinOp)
    ]
    called = {n.value for u in used for n in ast.walk(u) if isinstance(n, ast.Constant)}
    examples = {file.name for file in EXAMPLES.glob("*.py")}
    assert examples and examples <= called, f"run by no test: {examples - called}"
