"""One good file for each loader, small, made by what usually writes it."""

import sys
from pathlib import Path

import numpy as np

sys.path += [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "io")]

from fuzz import loaders  # noqa: E402


def write_all(folder):
    """Write the scan, the prior and the good file of every loader."""
    folder = Path(folder)
    ksp, mps = loaders.scan(folder)
    _scans(folder, ksp, mps)
    _images(folder)
    _runs(folder)


def _scans(folder, ksp, mps):
    import h5py
    from test_ismrmrd import lines_of, write

    from sigpy_priors.io.cfl import write_cfl

    with h5py.File(folder / "f.h5", "w") as f:
        f["kspace"] = ksp[None]
        f.attrs["acquisition"] = "T2"
    rng = np.random.default_rng(0)
    z = rng.standard_normal((1, 3, 20, 24, 2)).astype(np.float32)
    write(folder / "i.h5", lines_of(z.view(np.complex64)[..., 0]))
    write_cfl(folder / "good.cfl", ksp[:, None])


def _images(folder):
    import nibabel
    from test_images import write_dicom, write_fastmri

    rng = np.random.default_rng(0)
    vol = (1 + rng.random((2, 20, 16))).astype(np.float32)
    np.save(folder / "x.npy", vol)
    np.savez(folder / "x.npz", img=vol)
    for name in ("x.nii", "x.nii.gz"):
        nibabel.save(nibabel.Nifti1Image(vol.T, np.eye(4)), folder / name)
    write_dicom(folder / "x.dcm", (100 * vol[0]).astype(np.uint16))
    write_fastmri(folder / "x.h5", vol)


def _runs(folder):
    import torch

    from sigpy_priors import load_prior
    from sigpy_priors.onnx import export_onnx
    from sigpy_priors.posterior.draws import Draws
    from sigpy_priors.train.checkpoint import save_checkpoint

    prior = load_prior(folder / "tiny.safetensors", runtime="torch")
    export_onnx(prior, folder / "tiny.onnx")
    draws = Draws(checkpoint=folder / "s.npz", fingerprint="a")
    rng = np.random.default_rng(0)
    draws.add((rng.standard_normal((4, 16, 16)) + 0j).astype(np.complex64))
    draws.save()
    net = torch.nn.Linear(4, 4)
    save_checkpoint(folder / "run.safetensors", {"net": net}, [], {"step": 3})
    (folder / "c.yaml").write_text(
        "name: tiny\ndata: {train: ['*.npz'], crop: [16]}\n"
        "model: {options: {channels: [4, 8], blocks: [1, 1]}}\n"
        "optim: {steps: 3, batch_size: 2}\ncheckpoint_every: 2\n"
    )
