import argparse

import numpy as np
import pytest

from sampling_oracle import complex_normal
from sigpy_priors.io.cfl import read_cfl
from sigpy_priors.commands import sample
from sigpy_priors.app.sampling import PosteriorSampling


def command(*words):
    parser = argparse.ArgumentParser()
    sample.add_parser(parser.add_subparsers())
    args = parser.parse_args(["sample", *map(str, words)])
    return args.run(args)


def test_command_writes_samples_maps_and_picture(oracle, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "sigpy_priors.priors.file.load_prior", lambda name: oracle.prior
    )
    np.save(tmp_path / "k.npy", oracle.y)
    np.save(tmp_path / "m.npy", oracle.mps.astype(np.complex64))
    out = tmp_path / "out.npy"
    command(
        tmp_path / "k.npy",
        "--maps",
        tmp_path / "m.npy",
        "-n",
        3,
        "-o",
        out,
        "--steps",
        4,
    )
    x = np.load(out)
    assert x.shape == (3, 16, 16)
    np.testing.assert_allclose(
        np.load(tmp_path / "out_mean.npy"), x.mean(axis=0), atol=1e-6
    )
    assert np.load(tmp_path / "out_std.npy").min() > 0
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "k.npy",
        "m.npy",
        "out.npy",
        "out.png",
        "out_mean.npy",
        "out_std.npy",
    ]
    with pytest.raises(ValueError, match="at least 2 samples"):
        command(tmp_path / "k.npy", "-n", 1, "-o", out)
    with pytest.raises(ValueError, match="no slice chosen"):
        command(tmp_path / "k.npy", "-o", out, "--slice", 7)


def test_volume_is_sampled_slice_by_slice(oracle, tmp_path, monkeypatch):
    """Every slice is what it is alone, and a run that stopped goes on."""
    monkeypatch.setattr(
        "sigpy_priors.priors.file.load_prior", lambda name: oracle.prior
    )
    monkeypatch.chdir(tmp_path)
    np.save("k.npy", np.stack([oracle.y, 2 * oracle.y]))
    np.save("m.npy", np.stack([oracle.mps.astype(np.complex64)] * 2))
    line = "k.npy --maps m.npy -n 2 --steps 3 --noise-std 0.02 --seed 5 -o".split()
    run, calls = PosteriorSampling.run, []

    def stops_at_the_second(app):
        calls.append(app.seed)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return run(app)

    monkeypatch.setattr(PosteriorSampling, "run", stops_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        command(*line, "out.npy")
    assert not (tmp_path / "out.npy").exists()
    command(*line, "out.npy")
    assert calls == [5, 6, 6], "a finished slice was drawn again"
    x = np.load("out.npy")
    assert x.shape == (2, 2, 16, 16)
    np.testing.assert_allclose(np.load("out_mean.npy"), x.mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(np.load("out_std.npy"), x.std(axis=1, ddof=1), atol=1e-6)
    command(*line, "one.npy", "--slice", 1)
    np.testing.assert_array_equal(np.load("one.npy"), x[1:])
    alone = PosteriorSampling(
        2 * oracle.y,
        oracle.mps.astype(np.complex64),
        oracle.prior,
        2,
        steps=3,
        noise_std=0.02,
        seed=6,
        show_pbar=False,
    ).run()
    np.testing.assert_allclose(x[1], alone, rtol=1e-5, atol=1e-6)
    command(*line, "out.cfl")
    np.testing.assert_array_equal(
        read_cfl(tmp_path / "out.cfl")[:, 0, :].reshape(2, 2, 16, 16),
        x.swapaxes(0, 1),
    )
    assert (tmp_path / "out_000.png").is_file() and (tmp_path / "out_001.png").is_file()
    assert not list(tmp_path.glob("*.part")) and not list(tmp_path.glob(".*"))
