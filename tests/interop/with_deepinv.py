"""Run by the Python that has deepinv."""

import no_torchvision  # noqa: F401  isort: skip
import deepinv
import numpy as np
import torch
from common import N, exact, gaussian, run_all, scan

import sigpy_priors as spp
from sigpy_priors.testing import check_prior


def channels(x):
    return torch.view_as_real(torch.as_tensor(x)).permute(2, 0, 1)[None].contiguous()


def check_a_denoiser_is_that_of_the_prior():
    prior = gaussian()
    net = spp.interop.deepinv.denoiser(prior)
    assert isinstance(net, deepinv.models.Denoiser)
    x = torch.randn(3, 2, N, N, generator=torch.Generator().manual_seed(0))
    levels = torch.tensor([0.1, 0.2, 0.5])
    got = net(x, levels)
    z = torch.complex(x[:, 0], x[:, 1])
    for k, level in enumerate(levels):
        # Noise of 0.1 in each channel is complex noise of 0.1 sqrt(2).
        want = prior.denoise(z[k], float(level) * 2**0.5)
        torch.testing.assert_close(torch.complex(*got[k]), want)
    torch.testing.assert_close(net(x[:1], 0.1), got[:1])
    x.requires_grad_()
    net(x, 0.1).sum().backward()
    assert x.grad.abs().max() > 0


def check_half_quadratic_splitting_of_deepinv_finds_the_exact_image():
    """Its own algorithm and operator, with an exact prior and a fixed coupling."""
    prior = gaussian()
    y, _, mask, sigma = scan(coils=1)
    physics = deepinv.physics.MRI(mask=torch.from_numpy(mask)[None, None])
    data = channels(y[0])
    ours = channels(np.asarray(exact(prior, y, mask, sigma)))
    # Half-quadratic splitting ends at the maximum of the posterior for a coupling that
    # grows; the prox of a Gaussian is exact at every level.
    x = physics.A_adjoint(data)
    fidelity = deepinv.optim.L2()
    reg = spp.interop.deepinv.regularizer(prior)
    for rho in np.geomspace(1, 3e3, 60):
        # (rho / 2) |z - x|^2 - sigma^2 / 2 log p: the level of complex noise is
        # sigma / sqrt(rho); of a channel, over sqrt(2).
        z = deepinv.optim.PnP(reg_denoiser(prior)).prox(x, sigma / (2 * rho) ** 0.5)
        x = fidelity.prox(z, data, physics, gamma=1 / rho)
    error = (x - ours).norm() / ours.norm()
    assert error < 0.02, error
    assert reg.explicit_prior


def reg_denoiser(prior):
    return spp.interop.deepinv.denoiser(prior)


def check_a_density_has_its_value_and_gradient():
    prior = gaussian()
    reg = spp.interop.deepinv.regularizer(prior)
    x = torch.randn(2, 2, N, N, dtype=torch.float64)
    x.requires_grad_()
    z = torch.complex(*x.detach().unbind(1))
    torch.testing.assert_close(reg.fn(x).detach(), -prior.log_prob(z))
    (want,) = torch.autograd.grad(reg.fn(x).sum(), x)
    torch.testing.assert_close(reg.grad(x.detach()), want)


def check_a_denoiser_of_deepinv_is_a_prior():
    for channel_count in (1, 2):
        net = deepinv.models.DnCNN(
            channel_count, channel_count, depth=3, nf=8, pretrained=None
        )
        prior = spp.interop.deepinv.from_denoiser(net, (0.01, 1.0), channel_count)
        assert np.allclose(prior.sigma_range, (0.01 * 2**0.5, 2**0.5))
        check_prior(prior, shape=(N, N))
        x = torch.randn(2, N, N, dtype=torch.complex64)
        with torch.no_grad():
            parts = torch.stack([x.real, x.imag], 1)
            if channel_count == 1:
                want = net(parts.reshape(4, 1, N, N), 0.1).reshape(parts.shape)
            else:
                want = net(parts, 0.1)
        got = prior.denoise(x, 0.1 * 2**0.5)
        torch.testing.assert_close(torch.stack([got.real, got.imag], 1), want)
        y, mps, *_ = scan()
        image = spp.app.PriorRecon(y, mps, prior, max_iter=2, show_pbar=False).run()
        assert np.isfinite(image).all()


def check_there_and_back():
    prior = gaussian()
    net = spp.interop.deepinv.denoiser(prior)
    back = spp.interop.deepinv.from_denoiser(net, (0.01, 10))
    x = np.random.default_rng(0).normal(size=(N, N)) + 0j
    np.testing.assert_allclose(back.denoise(x, 0.3), prior.denoise(x, 0.3), atol=1e-5)


if __name__ == "__main__":
    run_all(globals())
