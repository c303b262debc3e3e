"""Finding, trying and installing BARTs, and the commands that do it."""

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import sigpy as sp
from ci import unavailable

from bart_plugin import toolbox
from bart_plugin.__main__ import _exports, main
from bart_plugin.exporters import export
from bart_plugin.toolbox import builder, doctor, installer, runner


def test_doctor_tries_every_feature(bart100, bart080, monkeypatch):
    _, version, findings = doctor.examine(bart100)
    assert version.startswith("v1.0.00")
    assert all(f.works for f in findings), doctor.table(bart100, version, findings)
    _, version, findings = doctor.examine(bart080)
    assert {f.what for f in findings if f.works} == {"pics -R TF:"}


def test_doctor_command(bart100, net_prior, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("BART_TOOLBOX_PATH", str(bart100.parent))
    good = export(net_prior, tmp_path / "good", (16, 12), sigma=0.1)
    assert main(["doctor", str(good.graph)]) == 0
    said = capsys.readouterr().out
    assert "yes pics -R TF:" in said and "BART image (12, 16, 1)" in said
    bad = tmp_path / "bad.pb"
    bad.write_bytes(good.graph.read_bytes()[:1000])
    assert main(["doctor", str(bad)]) == 1
    assert "cut short" in capsys.readouterr().out


def test_no_bart(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("SIGPY_PRIORS_CACHE", str(tmp_path))
    monkeypatch.delenv("BART_TOOLBOX_PATH", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(toolbox.BartNotFound, match="python -m bart_plugin build"):
        toolbox.find()
    assert main(["doctor"]) == 2
    assert "no BART found" in capsys.readouterr().err
    monkeypatch.setenv("BART_TOOLBOX_PATH", str(tmp_path))
    with pytest.raises(toolbox.BartNotFound, match="BART_TOOLBOX_PATH"):
        toolbox.find()


def test_build_says_what_is_missing(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("SIGPY_PRIORS_CACHE", str(tmp_path))
    monkeypatch.setattr(builder, "_missing_packages", lambda: ["libfftw3-dev"])
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(["build"]) == 2
    assert "apt-get install libfftw3-dev" in capsys.readouterr().err
    with pytest.raises(toolbox.BuildError, match="unknown version"):
        toolbox.build("0.1.00")


def test_no_entry_of_the_wheel_leaves_its_folder(tmp_path):
    wheel = tmp_path / "tensorflow_cpu.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tensorflow/libtensorflow_cc.so.2", b"library")
        archive.writestr("tensorflow/include/../../escaped.txt", b"evil")
    with pytest.raises(toolbox.BuildError, match="outside"):
        builder._unpack_library(wheel, tmp_path / "unpacked")
    assert (tmp_path / "unpacked" / "lib" / "libtensorflow_cc.so.2").exists()
    assert not list(tmp_path.rglob("escaped.txt"))


def test_build_again_is_at_once(bart100, capsys):
    assert main(["build", "--version", "1.0.00"]) == 0
    assert "built already" in capsys.readouterr().out


def test_a_shell_finds_it_and_it_is_quiet(bart100, monkeypatch, capfd):
    """After the lines that ``build`` and ``env`` print, and in paths with spaces."""
    for name in ("TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BART_TOOLBOX_PATH", str(bart100.parent))
    assert main(["build"]) == 0
    built = capfd.readouterr().out
    assert main(["env"]) == 0
    lines = capfd.readouterr().out
    assert lines in built and all(x.startswith("export ") for x in lines.splitlines())
    done = subprocess.run(
        ["sh", "-c", f"{lines}command -v bart; bart version"],
        env={"PATH": "/usr/bin:/bin", "HOME": os.environ["HOME"]},
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[0] == str(bart100)
    assert done.stdout.splitlines()[1].startswith("v1.0.00") and not done.stderr
    assert "'/a b'" in _exports(Path("/a b/bart"))


def test_a_command_with_arrays(bart100, rng):
    """In SigPy's axes, of options too; and BART's own words where it fails."""
    x = rng.standard_normal((2, 1, 5, 6)) + 1j * rng.standard_normal((2, 1, 5, 6))
    y = runner.run("fft -u 3", x, bart=bart100)
    np.testing.assert_allclose(y, sp.fft(x, axes=(-2, -1)), atol=1e-5)
    assert y.dtype == np.complex64
    one, two = runner.run("svd -e", x[0, 0], outputs=3, bart=bart100)[:2]
    assert two.shape == (5,) and one.shape == (5, 6)
    ones = np.ones((1, 5, 6))
    kept = runner.run("pics -l2 -r 0", x, ones[None] + 0 * x, bart=bart100, p=ones)
    assert kept.shape == (5, 6)
    with pytest.raises(runner.BartError, match="fft failed with status") as e:
        runner.run("fft", x, bart=bart100)
    assert str(bart100) in str(e.value)


def test_what_is_fetched_has_a_known_digest(tmp_path, monkeypatch):
    """A wheel and a tarball that were changed on their way are not unpacked."""
    monkeypatch.setenv("SIGPY_PRIORS_CACHE", str(tmp_path / "cache"))

    def fetched(command, problem, **kwargs):
        with zipfile.ZipFile(tmp_path / "tensorflow_cpu-2.21.0-x.whl", "w") as archive:
            archive.writestr("tensorflow/libtensorflow_cc.so.2", b"evil")
        return "http://deb.example/debian/"

    def source(mirror, suite, apt):
        (tmp_path / "bart_0.8.00.orig.tar.gz").write_bytes(b"evil")
        return tmp_path

    monkeypatch.setattr(builder, "_run", fetched)
    monkeypatch.setattr(builder, "_fetch_source", source)
    monkeypatch.setattr(builder.shutil, "which", lambda name: name)
    monkeypatch.setattr(builder, "_KEYRING", str(tmp_path))
    with pytest.raises(toolbox.BuildError, match="is not the tensorflow that is known"):
        builder._tensorflow(tmp_path)
    with pytest.raises(toolbox.BuildError, match="not the bart 0.8.00 that is known"):
        builder._debian_source("0.8.00", tmp_path)
    assert not list(tmp_path.rglob("*.so*"))


@pytest.fixture
def stock(tmp_path):
    """Debian's own bart 0.8.00, unpacked."""
    get = ["apt-get", "download", "bart=0.8.00*"]
    if shutil.which("apt-get") and shutil.which("dpkg"):
        done = subprocess.run(get, cwd=tmp_path, capture_output=True, text=True)
        if debs := list(tmp_path.glob("*.deb")):
            subprocess.run(["dpkg", "-x", debs[0], tmp_path / "stock"], check=True)
            bart = tmp_path / "stock" / "usr" / "bin" / "bart"
            if toolbox.version_of(bart):
                return bart
        reason = f"Debian's bart 0.8.00 cannot be had or run here: {done.stderr[-200:]}"
    else:
        reason = "Debian's bart 0.8.00 needs Debian"
    unavailable(reason)


def test_stock_bart(stock, bart080):
    """Without TensorFlow its answer is understood; with our pics it works."""
    if not os.access(installer.COMMANDS.parent.parent, os.W_OK):
        unavailable(f"{installer.COMMANDS} may not be written here")
    installed = toolbox.uninstall_pics()  # ours comes back at the end
    try:
        if (installer.COMMANDS / "pics").exists():
            unavailable(f"{installer.COMMANDS} has another pics: move it away")
        works = {f.what: f for f in doctor.examine(stock)[2]}
        assert not works["pics -R TF:"].works
        assert "TENSORFLOW=1" in works["pics -R TF:"].why
        toolbox.install_pics()
        works = {f.what: f for f in doctor.examine(stock)[2]}
        assert works["pics -R TF:"].works, works
    finally:
        toolbox.install_pics() if installed else toolbox.uninstall_pics()
