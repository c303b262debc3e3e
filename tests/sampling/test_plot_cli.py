import argparse

import numpy as np
import pytest

from sampling_oracle import complex_normal
from sigpy_priors import plot_posterior
from sigpy_priors.commands import sample


def test_posterior_picture_and_animation(tmp_path):
    x = 3 + complex_normal(np.random.default_rng(0), (10, 12, 16))
    figure = plot_posterior.posterior(x, tmp_path / "p.png", image=x[0])
    titles = [a.get_title() for a in figure.axes if a.get_title()]
    assert titles[:4] == [
        "mean", "standard deviation", "width of the 90% interval",
        "outside the 90% interval",
    ]
    assert titles[4:] == [f"sample {i}" for i in range(8)]
    assert (tmp_path / "p.png").stat().st_size > 1000
    plot_posterior.animate(x, tmp_path / "p.gif")
    assert (tmp_path / "p.gif").read_bytes()[:3] == b"GIF"
    with pytest.raises(ValueError, match="at least 2"):
        plot_posterior.posterior(x[:1])
    with pytest.raises(ValueError, match=".gif"):
        plot_posterior.animate(x, tmp_path / "p.mp4")


def command(*words):
    parser = argparse.ArgumentParser()
    sample.add_parser(parser.add_subparsers())
    args = parser.parse_args(["sample", *map(str, words)])
    return args.run(args)


def test_command_writes_samples_maps_and_picture(oracle, tmp_path, monkeypatch):
    monkeypatch.setattr("sigpy_priors.package.load_prior", lambda name: oracle.prior)
    np.save(tmp_path / "k.npy", oracle.y)
    np.save(tmp_path / "m.npy", oracle.mps.astype(np.complex64))
    out = tmp_path / "out.npy"
    assert command(
        tmp_path / "k.npy", "--maps", tmp_path / "m.npy", "-n", 3, "-o", out,
        "--steps", 4,
    ) == 0
    x = np.load(out)
    assert x.shape == (3, 16, 16)
    np.testing.assert_allclose(
        np.load(tmp_path / "out_mean.npy"), x.mean(axis=0), atol=1e-6
    )
    assert np.load(tmp_path / "out_std.npy").min() > 0
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "k.npy", "m.npy", "out.npy", "out.png", "out_mean.npy", "out_std.npy",
    ]
    with pytest.raises(ValueError, match="at least 2 samples"):
        command(tmp_path / "k.npy", "-n", 1, "-o", out)
    with pytest.raises(ValueError, match="no slice 7"):
        command(tmp_path / "k.npy", "-o", out, "--slice", 7)
