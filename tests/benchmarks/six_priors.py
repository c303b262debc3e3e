"""Complex priors from magnitudes: the comparison of Luo et al. (2023), at a small scale.

    python tests/benchmarks/six_priors.py FOLDER [--slices 600] [--only pixelcnn]

PixelCNNs and diffusion models, all of a kind of the same size and trained for as many steps: of complex
slices of one subject; of the magnitudes of fourteen; and of complex slices of fourteen
whose phases are those of the scan (preserved), drawn by the diffusion model of the one
subject (sampled, by ``sigpy-priors augment``), or random and smooth. Evaluated on scans of a
subject kept out of all training: 8 coils, noise 0.02, true maps. What FOLDER has is not
made again, so that an interrupted run goes on.

The phase of the scans is the phase model "measured" of a training config (phase.py has its
statistics beside those of measured phase). Of one subject: slices of one T1 volume.

References:
    Luo, G., Blumenthal, M., Heide, M., & Uecker, M. (2023). Bayesian MRI reconstruction
    with joint uncertainty estimation using diffusion models. MRM, 90(1), 295-311.
    Luo, G., et al. (2023). Generative image priors for MRI reconstruction trained from
    magnitude-only images. arXiv:2308.02340.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import sigpy as sp
import yaml
from cases import data_folder, lines
from simulate import coil_maps, poisson

import sigpy_priors as spp
from sigpy_priors.show.metrics import object_mask, psnr
from sigpy_priors.train.batches import Batches
from sigpy_priors.train.config import TrainConfig
from sigpy_priors.train.datasets import open_training

SIZE = 128
SUBJECT = "colin27"
MASKS = {
    "Poisson R=4": poisson(SIZE, 4),
    "Poisson R=8": poisson(SIZE, 8),
    "1-D R=3": lines((SIZE, SIZE), 3, center=16),
}
NETWORKS = {
    "diffusion": {
        "steps": 3000,
        "kind": "denoiser",
        "model": {"options": {"channels": [24, 48, 72], "blocks": [1, 1, 2]}},
    },
    "pixelcnn": {
        "steps": 600,
        "kind": "density",
        "model": {
            "architecture": "pixelcnn",
            "options": {
                "channels": 2,
                "nr_filters": [16, 32, 48],
                "nr_resnet": [1, 1, 2],
                "nr_logistic_mix": 4,
            },
            "precond": None,
        },
        "sigma": {"center": 0.02, "spread": 0},
    },
}
# Name: network, data, phase of the training.
PRIORS = {
    "d-one": ("diffusion", "one.npz", "preserved"),
    "p-one": ("pixelcnn", "one.npz", "preserved"),
    "p-magnitude": ("pixelcnn", "magnitude.npz", "none"),
    "d-preserved": ("diffusion", "many.npz", "preserved"),
    "p-preserved": ("pixelcnn", "many.npz", "preserved"),
    "d-random": ("diffusion", "magnitude.npz", "random"),
    "p-random": ("pixelcnn", "magnitude.npz", "random"),
    "d-sampled": ("diffusion", "sampled.npz", "sampled"),
    "p-sampled": ("pixelcnn", "sampled.npz", "sampled"),
}


def magnitudes(root, subject=None):
    """Slices at half the resolution, of all subjects or one."""
    for file in sorted(root.glob("brain_magnitude_train_*.npz")):
        pack = np.load(file)
        for img, meta in zip(pack["img"], pack["meta"]):
            if subject in (None, meta[1]):
                half = np.abs(
                    sp.ifft(sp.resize(sp.fft(img.astype("f4")), (SIZE, SIZE)))
                )
                yield half


def with_phase(images, count, seed=0):
    """As many slices with a phase like that of scans, drawn once."""
    folder = Path(images).parent
    config = TrainConfig.model_validate(
        {
            "name": "phase",
            "seed": seed,
            "data": {
                "train": [images.name],
                "affine": 0,
                "phase": {"model": "measured"},
            },
            "optim": {"batch_size": count},
        }
    )
    x = Batches(open_training(config.data, folder), config, "cpu")(0, SIZE).x.numpy()
    return (x[:, 0] + 1j * x[:, 1]).astype(np.complex64)


def make_data(folder, root, count):
    """The complex slices of one subject and of all, and the magnitudes of these."""
    for name, subject, n in (("one", SUBJECT, count // 5), ("many", None, count)):
        if not (folder / f"{name}.npz").exists():
            source = folder / f"{name}_source.npz"
            np.savez(source, img=np.stack(list(magnitudes(root, subject))))
            np.savez_compressed(folder / f"{name}.npz", img=with_phase(source, n))
    if not (folder / "magnitude.npz").exists():
        many = np.load(folder / "many.npz")["img"]
        np.savez_compressed(folder / "magnitude.npz", img=np.abs(many))
    if not (folder / "val.npz").exists():
        val = np.load(root / "brain_magnitude_val.npz")["img"][::90]
        half = [
            np.abs(sp.ifft(sp.resize(sp.fft(v.astype("f4")), (SIZE, SIZE))))
            for v in val
        ]
        np.savez(folder / "val_source.npz", img=np.stack(half))
        x = with_phase(folder / "val_source.npz", len(half), seed=1)
        np.savez_compressed(folder / "val.npz", img=x)


def run(*arguments):
    subprocess.run(
        [sys.executable, "-m", "sigpy_priors", *map(str, arguments)], check=True
    )


def train(folder, name):
    """One prior by ``sigpy-priors train``, which goes on where it was."""
    network, data, phase = PRIORS[name]
    settings = yaml.safe_load(yaml.safe_dump(NETWORKS[network]))
    config = {
        "name": name,
        "data": {
            "train": [data],
            "val": ["val.npz"],
            "crop": [64],
            "add_phase": False,
            "affine": 0,
        },
        "optim": {"steps": settings.pop("steps"), "batch_size": 8, "warmup": 20},
        "val_every": 10**6,
        "checkpoint_every": 100,
        "card": {"strength": 0.5},
        **settings,
    }
    if phase == "none":
        config["model"]["options"]["channels"] = 1
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(config))
    out = folder / "run" / name
    if not (out / f"{name}.safetensors").exists():
        run("train", file, "--data", folder, "--out", out)
    return out / f"{name}.safetensors"


def evaluate(prior, images, noise_std=0.02):
    """Mean PSNR over scans of the subject kept out, for each mask."""
    mps = coil_maps(8, SIZE)
    row = []
    for mask in MASKS.values():
        found = []
        for i, x in enumerate(images):
            z = np.random.default_rng(i).standard_normal((2, *mps.shape)) / 2**0.5
            y = sp.fft(mps * x, axes=(-2, -1)) + noise_std * (z[0] + 1j * z[1])
            y = (mask * y).astype(np.complex64)
            app = spp.app.PriorRecon(y, mps, prior, show_pbar=False)
            found.append(psnr(app.run(), x, object_mask(x)))
        row.append(np.mean(found))
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", choices=["", *NETWORKS])
    parser.add_argument("--slices", type=int, default=600)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    make_data(args.folder, data_folder(), args.slices)
    images = np.load(args.folder / "val.npz")["img"]
    print("| network | data | phase | " + " | ".join(MASKS) + " |")
    print("|---" * (3 + len(MASKS)) + "|")
    for name, (network, data, phase) in PRIORS.items():
        if args.only not in ("", network):
            continue
        if phase == "sampled" and not (args.folder / data).exists():
            sampler = args.folder / "run" / "d-one" / "d-one.safetensors"
            source = args.folder / "magnitude.npz"
            run("augment", source, "-o", args.folder / data, "--prior", sampler)
        prior = spp.load_prior(train(args.folder, name))
        values = " | ".join(f"{v:.2f}" for v in evaluate(prior, images))
        subjects = "1 subject" if data == "one.npz" else "14 subjects"
        print(f"| {network} | {subjects} | {phase} | {values} |", flush=True)


if __name__ == "__main__":
    main()
