"""A prior adapted to a few images: better there, nothing lost, or nothing written."""

import numpy as np
import pytest

from sigpy_priors.cli import main
from sigpy_priors.load import load_prior, read_card
from sigpy_priors.train import adaptation as adapting
from sigpy_priors.train import loop
from sigpy_priors.train.adaptation import adapt
from sigpy_priors.train.config import load_config
from sigpy_priors.train.loop import train

OPTIM = {"steps": 120, "patience": 3, "batch_size": 8, "lr_rest": 3e-3}


@pytest.fixture(scope="module")
def stripes(tmp_path_factory):
    """Six images that a smooth prior does not know."""
    root = tmp_path_factory.mktemp("stripes")
    i, j = np.mgrid[:64, :64]
    phases = np.random.default_rng(0).uniform(0, 6, 6)
    img = [0.5 + 0.4 * np.sin(i + (0.2 * k) * j + p) for k, p in enumerate(phases)]
    np.save(root / "stripes.npy", np.array(img, np.float32))
    return root


@pytest.fixture
def parent(make_config, tiny_data, tmp_path):
    config = make_config(
        optim__steps=60, optim__lr_rest=0.02, optim__ema=0.9,
        card={"license": "MIT", "strength": 0.7, "data": [{"source": "waves"}]},
    )  # fmt: skip
    return train(config, tiny_data, tmp_path / "parent", "cpu", show_pbar=False)


@pytest.fixture
def all_allowed(monkeypatch):
    """What a tiny network does to a brain does not matter."""
    monkeypatch.setattr(adapting, "KEPT", 100)


def test_it_is_better_on_images_kept_aside_and_says_what_it_is(
    parent, stripes, tmp_path, all_allowed
):
    out = tmp_path / "mine.safetensors"
    made = adapt(parent, stripes, out, "cpu", OPTIM, show_pbar=False)
    gain = [made.after[s] - made.before[s] for s in made.before]
    assert np.mean(gain) > 0.3
    assert not list(tmp_path.glob(".adapt*"))
    old, card = read_card(parent), read_card(out)
    assert (card.name, card.strength, card.sigma_range) == (
        "mine",
        0.7,
        old.sigma_range,
    )
    assert card.parent == f"tiny, weights {old.weights_sha256}"
    assert card.license.startswith("MIT") and card.data[0] == {"source": "waves"}
    assert len(card.data) == 2 and len(card.validation) == 2
    # The table is of the file, up to half precision.
    prior, x = load_prior(out), made.images
    np.testing.assert_allclose(
        prior.denoise(x["noisy"], 0.1), x["after"], atol=0.01, rtol=0
    )
    assert f"| 0.1 | {made.before[0.1]:.2f} | {made.after[0.1]:.2f} |" in made.table()


def test_what_would_lose_the_example_is_held_back(
    parent, stripes, tmp_path, monkeypatch
):
    nets = []
    score = adapting.denoising_psnr

    def spoiled(net, *val):
        if val[0].shape[-1] != 256:
            return score(net, *val)
        nets.append(sum(float(p.sum()) for p in net.parameters()))
        loss = abs(nets[-1] - nets[0]) / (abs(nets[1] - nets[0]) if nets[1:] else 1)
        return {0.1: 30 - 0.38 * loss}

    monkeypatch.setattr(adapting, "denoising_psnr", spoiled)
    made = adapt(
        parent, stripes, tmp_path / "m.safetensors", "cpu", OPTIM, show_pbar=False
    )
    assert made.kept[0.1] == pytest.approx(-0.19, abs=0.004)  # half the way
    assert len(nets) == 4  # start, all of the way, 0.7 of it, half


def test_nothing_is_written_that_is_no_better(
    parent, stripes, tmp_path, all_allowed, monkeypatch
):
    out = tmp_path / "mine.safetensors"
    still = {**OPTIM, "lr": 1e-12, "lr_rest": 1e-12}
    scores = iter(range(50, 0, -1))
    monkeypatch.setattr(
        loop.OBJECTIVES["denoiser"],
        "validate",
        lambda self, net, val: {"psnr/sigma=0.1": float(next(scores))},
    )
    with pytest.raises(ValueError, match="no validation was better than the start"):
        adapt(parent, stripes, out, "cpu", still, show_pbar=False)
    assert not out.exists() and not list(tmp_path.glob(".adapt*"))


def test_mistakes(parent, stripes, tmp_path, capsys):
    for prior, out, message in (
        ("brain-pixelcnn", "a.safetensors", "is no denoiser with a network of torch"),
        ("brain", "a.onnx", "expected a name that ends in .safetensors"),
        ("brain", "no/a.safetensors", "no folder"),
    ):
        with pytest.raises(ValueError, match=message):
            adapt(prior, stripes, tmp_path / out)
    with pytest.raises(ValueError, match="is the prior that is read"):
        adapt(parent, stripes, parent)
    few = tmp_path / "few.npy"
    np.save(few, np.load(stripes / "stripes.npy")[:3])
    with pytest.raises(ValueError, match="3 images, expected at least 5"):
        adapt(parent, few, tmp_path / "a.safetensors")


def test_the_command_shows_a_table_and_a_picture(
    parent, stripes, tmp_path, all_allowed, monkeypatch, capsys
):
    monkeypatch.setattr(adapting, "OPTIM", {**adapting.OPTIM, **OPTIM})
    out = tmp_path / "mine.safetensors"
    args = ["adapt", str(parent), str(stripes / "stripes.npy"), "-o", str(out)]
    assert main([*args, "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "| sigma | before | after | bundled example |" in said and str(out) in said
    assert out.with_suffix(".png").read_bytes()[:4] == b"\x89PNG"


def test_training_from_a_prior_inherits(parent, tiny_data, tmp_path, make_config):
    """Strength, data and licence; what the config says of itself is added."""
    start = read_card(parent)
    quick = dict(init=str(parent), optim__steps=2, optim__batch_size=2)
    plain = make_config(**quick)
    file = train(plain, tiny_data, tmp_path / "a", "cpu", show_pbar=False)
    card = read_card(file)
    assert card.parent == f"tiny, weights {start.weights_sha256}"
    assert (card.strength, card.license, card.data) == (0.7, "MIT", start.data)

    own = {"license": "CC0", "strength": 1.0, "data": [{"source": "mine"}]}
    said = make_config(**quick, card=own)
    file = train(said, tiny_data, tmp_path / "b", "cpu", show_pbar=False)
    card = read_card(file)
    assert (card.strength, card.license) == (1.0, "MIT; CC0")
    assert card.data == [{"source": "waves"}, {"source": "mine"}]
    # The whole config that lies beside the run says no more than the config.
    again = load_config(tmp_path / "a" / "config.yaml")
    assert again.card.strength is None
