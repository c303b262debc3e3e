"""Prior files: they come back as they went in, and say what is wrong if not."""

import hashlib
import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from sigpy_priors.load import load_prior, read_card
from sigpy_priors.models import build_model
from sigpy_priors.priors import file as package
from sigpy_priors.priors.card import FORMAT, PriorCard
from sigpy_priors.priors.saving import save_prior

OPTIONS = {"channels": [4, 8], "blocks": [1, 1], "emb_channels": 8}


def make_card(**changes):
    fields = {"architecture": "unet", "options": OPTIONS, "precond": "edm"}
    return PriorCard(**{"name": "tiny", "sigma_range": (0.01, 2), **fields, **changes})


@pytest.fixture
def model():
    """A small network with weights that are no powers of two."""
    torch.manual_seed(0)
    net = build_model(make_card().model_dump())
    with torch.no_grad():
        for p in net.parameters():
            p.normal_(0, 0.1)
    return net


@pytest.fixture
def file(model, tmp_path):
    path = tmp_path / "tiny.safetensors"
    save_prior(path, model, make_card())
    return path


def rewrite(path, weights=None, drop=(), **card):
    """Write the file again with other metadata or weights."""
    with safe_open(path, "pt") as f:
        meta = f.metadata()
        tensors = {k: f.get_tensor(k) for k in f.keys()}
    fields = json.loads(meta["sigpy_priors.card"]) | card
    meta["sigpy_priors.card"] = text = json.dumps(fields)
    meta["sigpy_priors.card_sha256"] = hashlib.sha256(text.encode()).hexdigest()
    for key in drop:
        del meta[key]
    save_file(weights(tensors) if weights else tensors, path, meta)


def image():
    rng = np.random.default_rng(0)
    return (rng.normal(size=(2, 13, 10)) + 1j * rng.normal(size=(2, 13, 10))) / 3


def test_round_trip_is_exact(model, file):
    prior = load_prior(file)
    for key, value in model.state_dict().items():
        assert torch.equal(prior.model.state_dict()[key], value)
    card = read_card(file)
    assert prior.card == card
    assert card.model_copy(update={"weights_sha256": ""}) == make_card()
    assert prior.sigma_range == (0.01, 2)
    assert prior.denoise(image(), 0.1).shape == (2, 13, 10)
    assert load_prior(str(file)).card == card


def test_half_precision_is_half_the_size_and_nearly_the_same(model, file, tmp_path):
    half = tmp_path / "half.safetensors"
    save_prior(half, model, make_card(), "float16")
    assert half.stat().st_size < 0.65 * file.stat().st_size
    a, b = (load_prior(f).denoise(image(), 0.1) for f in (file, half))
    assert 0 < np.abs(a - b).max() < 2e-3 * np.abs(a).max()
    prior = load_prior(half)
    assert {p.dtype for p in prior.model.parameters()} == {torch.float32}


def test_a_weight_that_is_not_finite_is_not_written(model, tmp_path):
    path = tmp_path / "a.safetensors"
    with torch.no_grad():
        model.net.head.bias[0] = 1e5
    save_prior(path, model, make_card())
    with pytest.raises(ValueError, match="'net.head.bias' is not finite as float16"):
        save_prior(path, model, make_card(), "float16")
    load_prior(path)  # the older file is still there


def test_no_such_prior_names_the_bundled_ones(tmp_path, monkeypatch, file):
    monkeypatch.setattr(package, "_DATA", file.parent)
    with pytest.raises(ValueError, match="no such prior; bundled are tiny"):
        load_prior("brian")
    assert load_prior("tiny").card.name == "tiny"
    assert read_card("tiny").name == "tiny"
    with pytest.raises(ValueError, match="is a folder, expected a plain file"):
        load_prior(tmp_path)


@pytest.mark.parametrize("keep", [0, 7, 200, -1])
def test_a_truncated_file(file, keep):
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ValueError, match="not a safetensors file, or damaged") as e:
        load_prior(file)
    assert str(e.value).startswith(str(file))
    with pytest.raises(ValueError, match="damaged or cut short"):
        read_card(file)


def test_one_flipped_bit_in_the_weights(file):
    raw = bytearray(file.read_bytes())
    raw[-20] ^= 1
    file.write_bytes(raw)
    with pytest.raises(ValueError, match="not those that the card was written for"):
        load_prior(file)


def test_something_else_entirely(file):
    file.write_bytes(b"\x89PNG and so on" * 10)
    with pytest.raises(ValueError, match="not a safetensors file"):
        load_prior(file)


@pytest.mark.parametrize("drop", ["format", "sigpy_priors.card"])
def test_safetensors_of_another_package(file, drop):
    rewrite(file, drop=[drop])
    with pytest.raises(ValueError, match="no prior of this package"):
        load_prior(file)
    save_file({"a": torch.zeros(1)}, file)
    with pytest.raises(ValueError, match="no prior of this package"):
        load_prior(file)


def test_a_newer_version_asks_for_an_update(file):
    rewrite(file, version=2, moral="new field")
    with pytest.raises(ValueError, match="version 2, but .* reads version 1: update"):
        load_prior(file)


@pytest.mark.parametrize(
    "card, message",
    [
        ({"sigma_range": [2, 0.1]}, "sigma_range must be 0 < low < high"),
        ({"sigma_range": "wide"}, "sigma_range: "),
        ({"kind": "oracle"}, "kind: .*'denoiser'"),
        ({"colour": "blue"}, "colour: Extra inputs"),
        ({"hours": -1}, "hours: "),
        ({"name": ""}, "name: "),
    ],
)
def test_a_card_with_a_wrong_field(file, card, message):
    rewrite(file, **card)
    with pytest.raises(ValueError, match=message) as e:
        read_card(file)
    assert f"{file}: the prior's card is not valid" in str(e.value)


def test_a_card_that_is_no_json(file):
    save_file({"a": torch.zeros(1)}, file, {"format": FORMAT, "sigpy_priors.card": "{"})
    with pytest.raises(ValueError, match="card is not valid: card: Invalid JSON"):
        load_prior(file)


@pytest.mark.parametrize(
    "weights",
    [
        lambda t: {k: v * 2 for k, v in t.items()},
        lambda t: {k: v.double() for k, v in t.items()},
        lambda t: dict(list(t.items())[1:]),
    ],
)
def test_weights_of_another_prior(file, weights):
    rewrite(file, weights)
    with pytest.raises(ValueError, match="not those that the card was written for"):
        load_prior(file)


@pytest.mark.parametrize(
    "card, message",
    [
        ({"options": {**OPTIONS, "channels": [4, 12]}}, "describes another network"),
        ({"options": {**OPTIONS, "depth": 3}}, "'unet' rejects its options.*depth"),
        ({"options": {**OPTIONS, "blocks": [1]}}, "one entry per level"),
        ({"precond": "magic"}, "unknown preconditioning 'magic'"),
        ({"precond_options": {"beta": 1}}, "'edm' rejects its options"),
        ({"architecture": "mynet", "package": "mylab"}, "'mynet'.*install 'mylab'"),
    ],
)
def test_a_card_of_another_network(file, card, message):
    rewrite(file, **card)
    with pytest.raises(ValueError, match=message):
        load_prior(file)
    assert read_card(file).name == "tiny"  # the card is readable all the same


def test_cards_do_not_change():
    with pytest.raises(ValueError, match="frozen"):
        make_card().name = "other"


def test_bfloat16_weights(model, file, tmp_path):
    """Not what save_prior writes by default, but what a fork may."""
    path = tmp_path / "bf16.safetensors"
    card = read_card(file)
    save_prior(path, model, card, "bfloat16")
    x = np.full((8, 8), 0.5 + 0.25j)
    out, exact = (load_prior(p).denoise(x, 0.1) for p in (path, file))
    np.testing.assert_allclose(out, exact, atol=1e-2)


def test_an_altered_card_is_noticed(file):
    """A digest covers it, and through the card's own digest the weights."""
    with safe_open(file, "pt") as f:
        meta, tensors = f.metadata(), {k: f.get_tensor(k) for k in f.keys()}
    meta["sigpy_priors.card"] = meta["sigpy_priors.card"].replace("2.0]", "3.0]")
    save_file(tensors, file, meta)
    for read in (load_prior, read_card):
        with pytest.raises(
            ValueError, match="the card is not the one that was written"
        ):
            read(file)
    del meta["sigpy_priors.card_sha256"]  # files from before it
    save_file(tensors, file, meta)
    assert load_prior(file).sigma_range == (0.01, 3)


@pytest.mark.parametrize(
    "options",
    [
        {"channels": [200_000, 200_000]},
        {"blocks": [10**9, 1]},
        {"channels": [-4, 8]},
        {"channels": "wide"},
        {"patch": 10**6},
        {"phase_width": 1e9},
        {"emb_channels": 1e99},
    ],
)
@pytest.mark.timeout(20)
def test_a_card_cannot_ask_for_a_network_of_another_size(file, options):
    rewrite(file, options={**OPTIONS, **options})
    with pytest.raises(ValueError) as e:
        load_prior(file)
    assert str(e.value).startswith(str(file)) and "\n" not in str(e.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
def test_weights_that_cannot_be_computed_with(model, file, monkeypatch, value):
    monkeypatch.setattr(torch, "isfinite", lambda t: torch.ones(()))  # an own writer
    with torch.no_grad():
        model.net.head.bias[0] = value
    save_prior(file, model, make_card())
    monkeypatch.undo()
    with pytest.raises(ValueError, match="'net.head.bias' is NaN, infinite or beyond"):
        load_prior(file)


def test_without_a_name_it_is_the_default_one():
    import sigpy_priors
    from sigpy_priors.data import DEFAULT_PRIOR

    assert DEFAULT_PRIOR in sigpy_priors.bundled()
    assert load_prior().card.name == DEFAULT_PRIOR
