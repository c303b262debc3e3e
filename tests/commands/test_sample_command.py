"""``sigpy-priors sample``: what it writes, slice by slice."""

import numpy as np
import pytest

from sigpy_priors.app.sampling import PosteriorSampling
from sigpy_priors.cli import main
from sigpy_priors.io.cfl import read_cfl


@pytest.fixture
def sample(small_volume, smooth_prior, tmp_path, monkeypatch, capsys):
    """Run the command in a folder with k-space and maps: status, stdout, stderr."""
    monkeypatch.setattr("sigpy_priors.load.load_prior", lambda name: smooth_prior)
    monkeypatch.chdir(tmp_path)
    y, mps = small_volume
    np.save("y.npy", y)
    np.save("mps.npy", mps)
    np.save("y0.npy", y[0])
    np.save("mps0.npy", mps[0])

    def run(line):
        return main(["sample", *line.split()]), *capsys.readouterr()

    return run


def test_samples_mean_deviation_and_picture(sample, tmp_path):
    before = {p.name for p in tmp_path.iterdir()}
    status, out, _ = sample("y0.npy --maps mps0.npy -n 3 --steps 4 -o out.npy")
    assert status == 0 and "3 samples of 1 slice(s)" in out
    x = np.load("out.npy")
    assert x.shape == (3, 16, 16)
    np.testing.assert_allclose(np.load("out_mean.npy"), x.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(np.load("out_std.npy"), x.std(axis=0, ddof=1), atol=1e-6)
    written = {p.name for p in tmp_path.iterdir()} - before
    files = {"out.npy", "out.png", "out_mean.npy", "out_std.npy"}
    assert written == files | {".out.npy.made.json"}


def test_the_figure_is_of_where_there_are_data(sample, tmp_path):
    """Outside of the maps nothing is claimed, so nothing is averaged over it."""
    mps = np.load("mps0.npy")
    mps[:, :, :8] = 0
    np.save("half.npy", mps)
    _, out, _ = sample("y0.npy --maps half.npy -n 4 --steps 4 --noise-std 0.3 -o a.npy")
    std, mean = np.load("a_std.npy"), np.load("a_mean.npy")
    assert not std[:, :8].any() and std[:, 8:].all()
    expected = std[:, 8:].mean() / np.percentile(abs(mean[:, 8:]), 99.8)
    assert f"mean std {expected:.1%} of the scale" in out


@pytest.mark.parametrize(
    "line, text",
    [
        ("y0.npy -n 1 -o out.npy", "at least 2 samples"),
        ("y0.npy -o out.npy --slice 7", "no slice chosen"),
        ("y0.npy -o out.npy --maps mps0.npy --method magic", "method must be one of"),
    ],
)
def test_errors(sample, line, text):
    status, _, err = sample(line)
    assert status == 2 and text in err and "Traceback" not in err


def test_a_volume_goes_on_where_it_was(sample, tmp_path, monkeypatch, small_volume):
    """Every slice is what it is alone, and a run that stopped goes on."""
    line = "y.npy --maps mps.npy -n 2 --steps 3 --noise-std 0.01 --seed 5 -o "
    run, seeds = PosteriorSampling.run, []

    def stops_at_the_second(app):
        seeds.append(app.seed)
        if len(seeds) == 2:
            raise KeyboardInterrupt
        return run(app)

    monkeypatch.setattr(PosteriorSampling, "run", stops_at_the_second)
    assert sample(line + "out.npy")[0] == 130
    assert not (tmp_path / "out.npy").exists()
    assert sample(line + "out.npy")[0] == 0
    assert seeds == [5, 6, 6, 7], "a finished slice was drawn again"
    x = np.load("out.npy")
    assert x.shape == (3, 2, 16, 16)
    np.testing.assert_allclose(np.load("out_mean.npy"), x.mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(np.load("out_std.npy"), x.std(axis=1, ddof=1), atol=1e-6)
    assert all((tmp_path / f"out_00{i}.png").is_file() for i in range(3))
    hidden = [p.name for p in tmp_path.glob(".*")]
    assert not list(tmp_path.glob("*.part")) and hidden == [".out.npy.made.json"]

    sample(line + "one.npy --slice 1")
    np.testing.assert_array_equal(np.load("one.npy"), x[1:2])
    sample(line + "out.cfl")
    np.testing.assert_array_equal(
        read_cfl("out.cfl")[:, 0, :].reshape(2, 3, 16, 16), x.swapaxes(0, 1)
    )
