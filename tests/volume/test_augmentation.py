"""Data sets of complex images from magnitudes, and training on them."""

import importlib.util

import numpy as np
import pytest

from sigpy_priors import load_prior
from sigpy_priors.cli import main
from sigpy_priors.priors.gaussian import GaussianPrior
from sigpy_priors.volume import augment
from sigpy_priors.volume import augmentation as module

SIZE = 24


@pytest.fixture(scope="module")
def prior():
    v, u = np.mgrid[-12:12, -12:12]
    return GaussianPrior(np.zeros((SIZE, SIZE)), spectrum=20 / (1 + u**2 + v**2) ** 1.5)


@pytest.fixture
def folder(tmp_path, prior):
    data = tmp_path / "data"
    data.mkdir()
    m = np.abs(prior.sample(6, 3)).astype(np.float32)
    np.savez(data / "a.npz", img=m[:4])
    np.save(data / "b.npy", m[4:, 2:-2])
    return data


def test_an_interrupted_run_goes_on(folder, prior, tmp_path, monkeypatch):
    whole = augment(folder, tmp_path / "x.npz", prior, 2, show_pbar=False)
    assert whole.shape == (12, SIZE, SIZE) and whole.dtype == np.complex64
    np.testing.assert_array_equal(np.load(tmp_path / "x.npz")["img"], whole)
    assert not whole[-1, :2].any()  # the smaller ones are padded

    draw, calls = module._draw, []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return draw(*args)

    with monkeypatch.context() as patch:
        patch.setattr(module, "_draw", interrupted)
        with pytest.raises(KeyboardInterrupt):
            augment(folder, tmp_path / "y.npz", prior, 2, show_pbar=False)
    with pytest.raises(ValueError, match="other settings"):
        augment(folder, tmp_path / "y.npz", prior, 2, seed=9, show_pbar=False)
    again = augment(folder, tmp_path / "y.npz", prior, 2, show_pbar=False)
    np.testing.assert_array_equal(again, whole)
    files = [p.name for p in tmp_path.iterdir() if not p.name.endswith(".made.json")]
    assert sorted(files) == ["data", "x.npz", "y.npz"]
    with pytest.raises(ValueError, match="y.npz: is there already.*seed 0, now 9"):
        augment(folder, tmp_path / "y.npz", prior, 2, seed=9, show_pbar=False)


@pytest.mark.skipif(
    not importlib.util.find_spec("distributed"), reason="needs distributed"
)
def test_phases_from_a_cluster_are_the_same(folder, prior, tmp_path):
    here = augment(folder, tmp_path / "x.npz", prior, 2, show_pbar=False)
    there = augment(
        folder, tmp_path / "y.npz", prior, 2, scheduler="local", workers=1,
        show_pbar=False,
    )  # fmt: skip
    np.testing.assert_allclose(there, here, atol=1e-5 * np.abs(here).max())


def test_wrong_files_are_named(folder, prior, tmp_path):
    with pytest.raises(ValueError, match="expected the name of an .npz file"):
        augment(folder, tmp_path / "x.npy", prior)
    with pytest.raises(ValueError, match="a.npz"):
        augment(folder / "a.npz", folder / "a.npz", prior)
    np.save(folder / "c.npy", np.ones((1, SIZE, SIZE), np.complex64))
    with pytest.raises(ValueError, match="has complex images, expected magnitudes"):
        augment(folder, tmp_path / "x.npz", prior)


CONFIG = """
name: tiny
data: {{train: ["*.np[yz]"], val: ["../val/val.npy"], crop: [16], affine: 0.0{more}}}
model:
  architecture: unet
  options: {{channels: [8, 16], blocks: [1, 1], emb_channels: 16}}
optim: {{steps: {steps}, batch_size: 8, warmup: 1}}
val_every: {steps}
val_images: 1
checkpoint_every: {steps}
"""


def test_magnitudes_to_a_complex_prior(brain_slice, tmp_path, capsys):
    """Phases of the bundled prior's kind for a head's magnitudes, then training."""
    image, _ = brain_slice
    for name in ("many", "val"):
        (tmp_path / name).mkdir()
    np.save(tmp_path / "val" / "val.npy", image)
    np.save(tmp_path / "many" / "m.npy", np.abs(image))
    config = tmp_path / "tiny.yaml"
    more = ", augment: sampled, augment_prior: brain"
    config.write_text(CONFIG.format(steps=4, more=more))
    out = tmp_path / "run"
    arguments = ["train", str(config), "--data", str(tmp_path / "many")]
    assert main([*arguments, "--out", str(out)]) == 0
    assert load_prior(out / "tiny.safetensors").card.name == "tiny"
    made = np.load(out / "phases_000.npz")["img"][0]
    np.testing.assert_allclose(np.abs(made), np.abs(image), rtol=1e-4)

    def roughness(x):
        step = x[:, 1:] * x[:, :-1].conj()
        return (np.abs(np.angle(step)) * np.abs(step)).sum() / np.abs(step).sum()

    noise = np.random.default_rng(0).uniform(0, 2 * np.pi, image.shape)
    assert roughness(made) < 0.25 * roughness(np.abs(image) * np.exp(1j * noise))

    file = tmp_path / "out.npz"
    many = str(tmp_path / "many")
    assert main(["augment", many, "-o", str(file)]) == 0
    assert "1 complex slices (64, 64)" in capsys.readouterr().out
    assert file.with_suffix(".png").stat().st_size > 5_000
    np.testing.assert_array_equal(np.load(file)["img"][0], made)


def test_sampled_needs_its_prior():
    from sigpy_priors.train.config import DataConfig

    with pytest.raises(ValueError, match="sampled and augment_prior go together"):
        DataConfig(train=("a",), augment="sampled")
