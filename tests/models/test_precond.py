"""Every preconditioning turns the exact network into the exact denoiser.

The image is Gaussian, x0 ~ N(0, s^2) per channel, so that every network in use
(EDM's F, a score, DDPM's eps, v and x0) is known in closed form. Each is
written here from its own definition, not from the coefficients under test, and
must give D(x, sigma) = x s^2 / (s^2 + sigma^2).
"""

import math

import pytest
import torch
from torch import nn

from sigpy_priors.models.precond import EDM, PRECONDS, VP, Direct, Precond, Score

S = 0.3  # standard deviation of the image, per channel
SIGMAS = [0.02, 0.1, 0.5, 2.0, 20.0]


class Exact(nn.Module):
    """A network given by a formula f(z, c) of its input and noise variable."""

    def __init__(self, formula):
        super().__init__()
        self.formula = formula
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, z, c):
        return self.weight * self.formula(z, c[:, None, None, None])


def check(model, sigmas=SIGMAS, rtol=2e-4):
    torch.manual_seed(0)
    sigma = torch.tensor(sigmas, dtype=torch.float64)
    total = (S**2 + sigma**2)[:, None, None, None]
    x = torch.randn(len(sigmas), 2, 4, 4, dtype=torch.float64) * total.sqrt()
    got = model.double()(x, sigma)
    torch.testing.assert_close(got, x * S**2 / total, rtol=rtol, atol=1e-7)


def test_direct():
    check(Direct(Exact(lambda z, sigma: z * S**2 / (S**2 + sigma**2))))


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("condition", ["sigma", "log_sigma"])
def test_score(scaled, condition):
    def formula(x, c):
        sigma = c if condition == "sigma" else c.exp()
        score = -x / (S**2 + sigma**2)
        return sigma * score if scaled else score

    check(Score(Exact(formula), scaled, condition))


@pytest.mark.parametrize("sigma_data", [S, 0.05, 1.0])
def test_edm(sigma_data):
    """Karras et al., equation 8: F regresses (x0 - c_skip x) / c_out."""

    def formula(z, c):
        sigma = (4 * c).exp()
        total = sigma**2 + sigma_data**2
        x = z * total.sqrt()
        x0 = x * S**2 / (S**2 + sigma**2)
        return (x0 - x * sigma_data**2 / total) * total.sqrt() / (sigma * sigma_data)

    check(EDM(Exact(formula), sigma_data))


@pytest.mark.parametrize("sigma", SIGMAS)
def test_edm_has_unit_variance_in_and_out(sigma):
    model = EDM(Exact(lambda z, c: z), S)
    torch.manual_seed(0)
    x0, n = S * torch.randn(200000), sigma * torch.randn(200000)
    c_skip, c_out, c_in, _ = model.coefficients(torch.tensor([sigma]))
    assert (c_in * (x0 + n)).std() == pytest.approx(1, abs=0.01)
    assert ((x0 - c_skip * (x0 + n)) / c_out).std() == pytest.approx(1, abs=0.01)


def vp_formula(output, betas):
    """DDPM: z = a x0 + b eps with a^2 = alpha_bar(t), b^2 = 1 - a^2."""
    alpha_bar = torch.cumprod(1 - betas, 0)
    log_sigma = 0.5 * torch.log((1 - alpha_bar) / alpha_bar)

    def formula(z, t):
        lo = t.floor().long().clamp(0, len(betas) - 2)
        sigma = torch.exp(
            log_sigma[lo] + (t - lo) * (log_sigma[lo + 1] - log_sigma[lo])
        )
        a, b = 1 / (1 + sigma**2).sqrt(), sigma / (1 + sigma**2).sqrt()
        var = a**2 * S**2 + b**2  # of z
        x0, eps = a * S**2 / var * z, b / var * z  # their means given z
        return {"eps": eps, "x0": x0, "v": a * eps - b * x0}[output]

    return formula


LINEAR = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
COSINE = (
    1
    - (
        torch.cos((torch.arange(1, 101) / 100 + 0.008) / 1.008 * math.pi / 2) ** 2
        / torch.cos((torch.arange(0, 100) / 100 + 0.008) / 1.008 * math.pi / 2) ** 2
    )
    .clamp(1e-3, 1 - 1e-5)
    .double()
)


@pytest.mark.parametrize("output", ["eps", "v", "x0"])
@pytest.mark.parametrize("betas", [None, COSINE], ids=["linear", "cosine"])
def test_vp(output, betas):
    formula = vp_formula(output, LINEAR if betas is None else betas)
    model = VP(Exact(formula), output, betas)
    table = model.log_sigma.double().exp()
    inside = [float(s) for s in table[[0, 1, 10, 50, -1]]]  # at time steps
    between = [0.02, 0.1, 0.5, 2.0]
    check(model, inside + [s for s in between if table[0] < s < table[-1]])


def test_vp_time_is_the_index_of_the_schedule():
    model = VP(Exact(lambda z, t: z))
    index = torch.tensor([0.0, 1, 17, 500, 998, 999])
    sigma = model.log_sigma[index.long()].exp()
    torch.testing.assert_close(model.time(sigma), index, rtol=0, atol=2e-3)
    outside = torch.tensor([1e-6, 1e6])
    torch.testing.assert_close(model.time(outside), torch.tensor([0.0, 999.0]))
    grid = torch.logspace(-3, 3, 500)
    assert (model.time(grid).diff() >= 0).all()


def test_vp_sigma_range_is_that_of_ddpm():
    low, high = VP(Exact(lambda z, t: z)).sigma_range
    assert low == pytest.approx(0.01, rel=1e-3)  # beta_1 = 1e-4
    assert high == pytest.approx(157.4, rel=1e-2)


@pytest.mark.parametrize("make", PRECONDS.values(), ids=PRECONDS)
def test_gradients_flow_through(make):
    model = make(Exact(lambda z, c: z * c.tanh()))
    x = torch.randn(2, 2, 4, 4, requires_grad=True)
    model(x, torch.tensor([0.1, 1.0])).square().sum().backward()
    assert x.grad.abs().max() > 0 and model.net.weight.grad.abs() > 0


@pytest.mark.parametrize("make", PRECONDS.values(), ids=PRECONDS)
def test_coefficients_have_the_shape_and_type_of_sigma(make):
    for dtype in (torch.float32, torch.float64):
        sigma = torch.tensor([0.1, 0.2, 0.3], dtype=dtype)
        for c in make(Exact(lambda z, c: z)).coefficients(sigma):
            assert c.shape == (3,) and c.dtype == dtype and c.isfinite().all()


def test_the_stride_is_that_of_the_network():
    net = Exact(lambda z, c: z)
    assert EDM(net).stride == 1
    net.stride = 8
    assert EDM(net).stride == 8


def test_mistakes_are_named():
    net = Exact(lambda z, c: z)
    with pytest.raises(ValueError, match="condition must be .* got 'time'"):
        Score(net, condition="time")
    with pytest.raises(ValueError, match="output must be one of .* got 'noise'"):
        VP(net, "noise")
    for betas in ([0.1], [0.1, 1.5], [[0.1, 0.2]], [0.0, 0.1]):
        with pytest.raises(ValueError, match="betas must be"):
            VP(net, betas=betas)
    with pytest.raises(NotImplementedError):
        Precond(net)(torch.zeros(1, 2, 4, 4), torch.ones(1))
