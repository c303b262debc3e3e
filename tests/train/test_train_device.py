"""Nothing of a training step is left on the host: all of it runs on torch's device
`meta`, which has shapes and no numbers, and where a tensor of the host is an error."""

import numpy as np
import pytest
import torch

from sigpy_priors.train import loop
from sigpy_priors.train.batches import Batches
from sigpy_priors.train.datasets import open_training
from sigpy_priors.train.optim import make_optimizers


class NoGenerator:
    """The device `meta` has no random numbers."""

    def __init__(self, device):
        self.device = device

    def manual_seed(self, seed):
        pass


@pytest.mark.parametrize("model", ["smooth", "measured"])
def test_a_step_stays_on_its_device(make_config, tmp_path, monkeypatch, model):
    rng = np.random.default_rng(0)
    real = rng.uniform(0.2, 1, (3, 40, 36)).astype(np.float32)
    np.save(tmp_path / "real.npy", real)
    np.save(tmp_path / "complex.npy", real[:, :32] * np.exp(1j * real[:, :32]))
    config = make_config(
        data__train=["real.npy", "complex.npy"], data__noise_aware=True,
        data__phase={"model": model, "fields": 2},
    )  # fmt: skip
    slices = open_training(config.data, tmp_path)
    monkeypatch.setattr(torch, "Generator", NoGenerator)
    randn = torch.randn
    monkeypatch.setattr(torch, "randn", lambda *a, generator, **k: randn(*a, **k))
    # Its fields pass through the host once, before the first step.
    monkeypatch.setattr(torch.Tensor, "cpu", lambda t: torch.zeros(t.shape))
    device = torch.device("meta")
    batch = Batches(slices, config, device)(0, 16)
    for part in (batch.x, batch.noise, batch.sigma, batch.own):
        assert part.device.type == "meta" and len(part) == 4

    objective = loop.OBJECTIVES["denoiser"](config)
    net = objective.net.to(device)
    loss = objective.loss(net, batch)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    for opt in make_optimizers(net, config.optim):
        opt.step()
    assert loss.device.type == norm.device.type == "meta"
