"""Every loader: a good file for it, and how it is read and used."""

import contextlib
import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1]))

from fuzz.sandbox import command  # noqa: E402

OPTIONS = {"channels": [4, 8], "blocks": [1, 1], "emb_channels": 8}
SIZE = 32


def warm():
    """Import what all loaders need, and start no thread."""
    import h5py  # noqa: F401
    import ismrmrd  # noqa: F401
    import nibabel  # noqa: F401
    import onnx.reference  # noqa: F401
    import onnxruntime  # noqa: F401
    import pydicom  # noqa: F401
    import torch

    import sigpy_priors.app
    import sigpy_priors.cli
    import sigpy_priors.io.ismrmrd
    import sigpy_priors.onnx
    import sigpy_priors.train.config
    import sigpy_priors.train.loop
    import sigpy_priors.volume  # noqa: F401

    torch.set_num_threads(1)


def scan(folder):
    """K-space, maps, coordinates, weights and a prior, as files."""
    import sigpy as sp
    import torch

    from sigpy_priors.data.example import example
    from sigpy_priors.models import build_model
    from sigpy_priors.priors.card import PriorCard
    from sigpy_priors.priors.saving import save_prior

    folder = Path(folder)
    image, mps = example(num_coils=4)
    image, mps = image[3::8, 3::8][:SIZE, :SIZE], mps[:, 3::8, 3::8][:, :SIZE, :SIZE]
    mps = (mps / sp.rss(mps, axes=(0,))).astype(np.complex64)
    rng = np.random.default_rng(0)
    ksp = sp.fft(mps * image, axes=(-2, -1))
    noise = rng.standard_normal(ksp.shape) + 1j * rng.standard_normal(ksp.shape)
    mask = rng.random((SIZE, SIZE)) < 0.5
    mask[8:24, 8:24] = 1
    ksp = (mask * (ksp + 1e-3 * abs(ksp).max() * noise)).astype(np.complex64)
    np.save(folder / "ksp.npy", ksp)
    np.save(folder / "mps.npy", mps)
    np.save(folder / "w.npy", mask.astype(np.float32))
    angle = np.linspace(0, np.pi, 12, endpoint=False)[:, None]
    radius = np.linspace(-SIZE / 2, SIZE / 2, SIZE, endpoint=False)
    coord = np.stack([radius * np.sin(angle), radius * np.cos(angle)], -1)
    np.save(folder / "c.npy", coord.astype(np.float32))
    radial = sp.nufft(mps * image, coord.astype(np.float32)).astype(np.complex64)
    np.save(folder / "radial.npy", radial)
    card = PriorCard(
        name="tiny", architecture="unet", options=OPTIONS, sigma_range=(0.01, 2)
    )
    torch.manual_seed(0)
    save_prior(folder / "tiny.safetensors", build_model(card.model_dump()), card)
    return ksp, mps


# How each is used. "x" is the damaged file; the folder has what else is needed.


def _recon(*argv):
    def use(x):
        out = Path("o.npy")
        out.unlink(missing_ok=True)
        words = [str(x) if a is None else a for a in argv]
        command("recon", *words, "-o", out)
        return np.load(out)

    return use


_TINY = ("--prior", "tiny.safetensors")
_MAPS = ("--maps", "mps.npy")


def use_prior(x):
    from sigpy_priors import load_prior

    prior = load_prior(x)
    y = np.load("ksp.npy")[0] / abs(np.load("ksp.npy")).max()
    if hasattr(prior, "denoise"):
        return prior.denoise(y, 0.1)
    return prior.log_prob(y)


def use_images(x):
    from sigpy_priors.train.datasets import open_slices

    return np.stack([abs(i) for i in open_slices([Path(x).name], Path(x).parent)[0]])


def use_samples(x):
    """As a run goes on from them: even where the digest is right."""
    from sigpy_priors.posterior.draws import Draws

    fingerprint = "a"
    if Path(x).is_file():
        with contextlib.suppress(Exception), np.load(x) as f:
            fingerprint = str(f["fingerprint"])
    draws = Draws(checkpoint=x, fingerprint=fingerprint)
    draws.load()
    return draws.samples


def use_training(x):
    from sigpy_priors.train.checkpoint import read_checkpoint

    return np.concatenate([t.numpy().ravel() for t in read_checkpoint(x)[1].values()])


def use_config(x):
    return command("train", x, "--print-config")


def train(x):
    Path("data").mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    np.savez("data/a.npz", img=1 + rng.random((2, 40, 40)))
    return command("train", x, "--data", "data", "--out", "run", "--device", "cpu")


def use_graph(x):
    from bart_plugin.graph.graphdef import read_graph

    read_graph(x)


def use_cfl(x):
    import shutil

    # Both files of a pair lie beside each other under one name.
    other = ".hdr" if Path(x).suffix == ".cfl" else ".cfl"
    shutil.copy("good" + other, Path(x).with_suffix(other))
    from sigpy_priors.io import open_kspace

    return open_kspace(x)[0]


# Name: file it is tried on, how it is used.
LOADERS = {
    "kspace.npy": ("ksp.npy", _recon(None, *_MAPS, *_TINY)),
    "maps.npy": ("mps.npy", _recon("ksp.npy", "--maps", None, *_TINY)),
    "weights.npy": ("w.npy", _recon("ksp.npy", *_MAPS, "--weights", None, *_TINY)),
    "coord.npy": ("c.npy", _recon("radial.npy", *_MAPS, "--coord", None, *_TINY)),
    "fastMRI.h5": ("f.h5", _recon(None, *_MAPS, *_TINY)),
    "ISMRMRD.h5": ("i.h5", _recon(None, *_TINY)),
    "kspace.cfl": ("good.cfl", use_cfl),
    "kspace.hdr": ("good.hdr", use_cfl),
    "prior.safetensors": ("tiny.safetensors", use_prior),
    "prior.onnx": ("tiny.onnx", use_prior),
    "samples.npz": ("s.npz", use_samples),
    "checkpoint.safetensors": ("run.safetensors", use_training),
    "config.yaml": ("c.yaml", use_config),
    "images.npy": ("x.npy", use_images),
    "images.npz": ("x.npz", use_images),
    "images.nii": ("x.nii", use_images),
    "images.nii.gz": ("x.nii.gz", use_images),
    "images.h5": ("x.h5", use_images),
    "images.dcm": ("x.dcm", use_images),
}

# The same loaders by the names in the folder of damaged files.
OF_MUTANT = {
    "api_PosteriorSampling_checkpoint_npz": use_samples,
    "api_load_prior_onnx": use_prior,
    "api_load_prior_safetensors": use_prior,
    "api_open_slices_x.h5": use_images,
    "api_open_slices_x.nii": use_images,
    "api_open_slices_x.nii.gz": use_images,
    "cli_recon_--prior_onnx": _recon("ksp.npy", *_MAPS, "--prior", None),
    "cli_recon_--prior_safetensors": _recon("ksp.npy", *_MAPS, "--prior", None),
    "cli_recon_ISMRMRD_h5": LOADERS["ISMRMRD.h5"][1],
    "cli_recon_coord_npy": LOADERS["coord.npy"][1],
    "cli_recon_fastMRI_h5": LOADERS["fastMRI.h5"][1],
    "cli_recon_kspace_npy": LOADERS["kspace.npy"][1],
    "cli_recon_maps_npy": LOADERS["maps.npy"][1],
    "cli_recon_weights_npy": LOADERS["weights.npy"][1],
    "cli_train_--print-config_YAML": use_config,
    "cli_train_YAML": train,
}
