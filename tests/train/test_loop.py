"""The training loop in this process: what it computes, logs, refuses, resumes."""

import math
import signal

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sigpy_priors.load import load_prior, read_card
from sigpy_priors.train import loop, objective
from sigpy_priors.train.batches import Batch
from sigpy_priors.train.checkpoint import read_checkpoint
from sigpy_priors.train.config import load_config
from sigpy_priors.train.distributed import Processes
from sigpy_priors.train.finish import write_prior
from sigpy_priors.train.loop import train


def run(config, data, out, **kwargs):
    return train(config, data, out, device="cpu", show_pbar=False, **kwargs)


def state(out):
    return read_checkpoint(out / "checkpoint.safetensors")[1]


def same(a, b):
    assert a.keys() == b.keys()
    return all(torch.equal(a[k], b[k]) for k in a)


def interrupt_at(monkeypatch, step):
    """Press Ctrl-C in the middle of a step."""
    average = loop._average

    def pressed(ema, net, decay, at):
        if at == step:
            signal.raise_signal(signal.SIGINT)
        average(ema, net, decay, at)

    monkeypatch.setattr(loop, "_average", pressed)


def board(out, tag="loss"):
    events = EventAccumulator(str(out / "tensorboard"))
    events.Reload()
    return {e.step: e.value for e in events.Scalars(tag)}, len(events.Scalars(tag))


def test_the_loss_of_the_gaussian_denoiser_is_one(make_config, tmp_path):
    """EDM with F = 0 is exact for a Gaussian of variance sigma_data^2 per
    channel; its weighted loss is then 1 at every noise level."""
    run_ = loop._Run(make_config(), tmp_path, Processes("cpu"))
    torch.manual_seed(0)
    x = 0.2 * torch.randn(16, 2, 64, 64)
    for sigma in (0.01, 0.2, 3.0):
        sigma = torch.full((16,), sigma)
        loss = run_.objective.loss(run_.net, Batch(x, torch.randn_like(x), sigma))
        assert loss.item() == pytest.approx(1, abs=0.02)


def test_sigma_is_complex_and_the_network_sees_that_of_a_channel(make_config, tmp_path):
    run_ = loop._Run(make_config(), tmp_path, Processes("cpu"))
    torch.manual_seed(0)
    x, sigma = torch.randn(4, 2, 64, 64), torch.tensor([0.1, 0.2, 0.5, 2.0])

    def model(noisy, per_channel):
        power = (noisy - x).square().sum(dim=1).mean(dim=(1, 2))  # E|n|^2
        torch.testing.assert_close(power, sigma**2, rtol=0.05, atol=0)
        torch.testing.assert_close(per_channel, sigma / 2**0.5)
        return noisy

    run_.objective.loss(model, Batch(x, torch.randn_like(x), sigma))


def test_training_improves_the_validation(make_config, tiny_data, tmp_path, losses):
    config = make_config(optim__steps=80, optim__lr_rest=0.02, optim__ema=0.9)
    before = run(make_config(optim__steps=1, name="start"), tiny_data, tmp_path / "a")
    after = run(config, tiny_data, tmp_path / "b")
    key = "denoising PSNR in dB by sigma"
    before, after = (read_card(f).validation[key] for f in (before, after))
    assert list(after) == ["0.01", "0.03", "0.1", "0.3"]
    assert after["0.1"] > before["0.1"] + 1
    curve = list(losses(tmp_path / "b").values())
    assert np.median(curve[-40:]) < 0.9 * np.median(curve[:20])


def test_the_prior_file_states_what_it_is(make_config, tiny_data, tmp_path):
    config = make_config(
        sigma__min=0.01,
        sigma__max=5,
        card={
            "description": "A test.",
            "license": "MIT",
            "citation": "me",
            "data": [{"name": "waves", "licence": "MIT"}],
        },
    )
    file = run(config, tiny_data, tmp_path / "out")
    prior = load_prior(file)
    card = prior.card
    assert file == tmp_path / "out" / "tiny.safetensors" and card.name == "tiny"
    assert prior.sigma_range == card.sigma_range == (0.01, 5.0)
    assert card.options["channels"] == [10, 12]
    assert (card.description, card.license, card.citation) == ("A test.", "MIT", "me")
    assert card.data == [{"name": "waves", "licence": "MIT"}]
    assert card.config["optim"]["steps"] == 12 and "card" not in card.config
    assert card.commit and card.hours is not None and "CPU" in card.hardware
    table = card.validation["denoising PSNR in dB by sigma"]
    assert all(5 < v < 60 for v in table.values())
    # The weights are the averaged ones, rounded to float16.
    ema = {k[4:]: v for k, v in state(tmp_path / "out").items() if k[:4] == "ema/"}
    for key, value in prior.model.state_dict().items():
        assert torch.equal(value, ema[key].half().float())
    x = np.ones((1, 17, 13), np.complex64)
    assert np.isfinite(prior.denoise(x, 0.1)).all()


def test_storing_float16_changes_the_output_negligibly(
    make_config, tiny_data, tmp_path
):
    config = make_config(optim__steps=80, optim__lr_rest=0.02, optim__ema=0.9)
    half = load_prior(run(config, tiny_data, tmp_path))
    goal = objective.DenoiserObjective(config)
    exact = goal.net
    ema = {k[4:]: v for k, v in state(tmp_path).items() if k[:4] == "ema/"}
    exact.load_state_dict(ema)
    config = config.model_copy(update={"weight_dtype": "float32"})
    full = load_prior(
        write_prior(tmp_path / "full", exact, config, goal.card(None, None), 1.0)
    )
    x = np.load(tiny_data / "val.npz")["img"].astype(np.complex64)
    rng = np.random.default_rng(0)
    for sigma in (0.01, 0.1, 0.3):
        n = rng.standard_normal(x.shape) + 1j * rng.standard_normal(x.shape)
        y = (x + sigma / 2**0.5 * n).astype(np.complex64)
        a, b = half.denoise(y, sigma), full.denoise(y, sigma)
        change, removed = np.linalg.norm(a - b), np.linalg.norm(y - b)
        assert 0 < change < 2e-3 * removed  # -54 dB of what is denoised


@pytest.fixture
def whole(make_config, tiny_data, tmp_path):
    """An uninterrupted run of 12 steps with checkpoints at 5, 10 and 12."""
    out = tmp_path / "whole"
    run(make_config(), tiny_data, out)
    return out


def test_ctrl_c_keeps_the_checkpoint_and_the_run_continues_exactly(
    make_config, tiny_data, tmp_path, whole, losses
):
    out = tmp_path / "cut"
    for step, kept in ((7, 5), (8, 5), (11, 10)):
        with pytest.MonkeyPatch.context() as mp:
            interrupt_at(mp, step)
            with pytest.raises(KeyboardInterrupt, match=f"from step {kept} of 12"):
                run(make_config(), tiny_data, out)
        meta, _ = read_checkpoint(out / "checkpoint.safetensors")
        assert meta["step"] == kept and meta["seconds"] > 0
        assert not list(out.glob(".*"))
    file = run(make_config(), tiny_data, out)
    assert same(state(out), state(whole))
    assert losses(out) == losses(whole)
    expected = read_card(whole / "tiny.safetensors")
    assert read_card(file).weights_sha256 == expected.weights_sha256
    assert read_card(file).validation == expected.validation


def test_logs_continue_without_gaps_or_doubles(
    make_config, tiny_data, tmp_path, monkeypatch, whole
):
    out = tmp_path / "cut"
    with monkeypatch.context() as mp:
        interrupt_at(mp, 8)
        with pytest.raises(KeyboardInterrupt):
            run(make_config(), tiny_data, out)
    with (out / "log.csv").open("a") as f:
        f.write("lo")  # killed in the middle of a row
    run(make_config(), tiny_data, out)
    assert (out / "log.csv").read_text() == (whole / "log.csv").read_text()
    for tag in ("loss", "psnr/sigma=0.1"):
        (values, count), (expected, _) = board(out, tag), board(whole, tag)
        assert count == len(values)
        assert values == expected
    assert list(board(out)[0]) == list(range(1, 13))


def test_a_finished_run_only_writes_its_prior_again(
    make_config, tiny_data, whole, tmp_path
):
    before = (whole / "tiny.safetensors").read_bytes(), state(whole)
    card = read_card(whole / "tiny.safetensors")
    (whole / "tiny.safetensors").unlink()
    file = run(make_config(card__license="MIT"), tiny_data, whole)
    again = read_card(file)
    assert same(before[1], state(whole))
    assert again.weights_sha256 == card.weights_sha256
    assert (again.license, again.validation) == ("MIT", card.validation)


def test_a_run_continues_from_its_own_dumped_config(make_config, tiny_data, whole):
    run(load_config(whole / "config.yaml"), tiny_data, whole)


def test_refuses_the_checkpoint_of_another_config(make_config, tiny_data, whole):
    config = make_config(optim__lr=0.1, model__options__channels=[10, 14])
    with pytest.raises(ValueError, match="another config.*options.channels, optim.lr"):
        run(config, tiny_data, whole)


def test_refuses_other_data(make_config, tiny_data, whole, tmp_path):
    folder = tmp_path / "fewer"
    folder.mkdir()
    np.savez(folder / "train.npz", img=np.load(tiny_data / "train.npz")["img"][:4])
    (folder / "val.npz").write_bytes((tiny_data / "val.npz").read_bytes())
    with pytest.raises(ValueError, match="images of the data: 6, now 4"):
        run(make_config(), folder, whole)


def test_refuses_as_many_other_images(make_config, tiny_data, whole, tmp_path):
    images = np.load(tiny_data / "train.npz")["img"]
    folder = tmp_path / "changed"
    folder.mkdir()
    (folder / "val.npz").write_bytes((tiny_data / "val.npz").read_bytes())
    np.savez(folder / "train.npz", img=images * (1 + (images == images.max())))
    with pytest.raises(ValueError, match="images of the data: 6, now 6"):
        run(make_config(), folder, whole)


def test_refuses_a_damaged_checkpoint(make_config, tiny_data, whole):
    path = whole / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match="not a readable checkpoint.*start anew"):
        run(make_config(), tiny_data, whole)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"data__crop": [16, 18]}, "data.crop: 18 is no multiple of 4"),
        ({"data__train": ["none"]}, "no image file .* matches 'none'"),
        ({"data__val": ["none"]}, "no image file .* matches 'none'"),
        ({"model__architecture": "unknown"}, "unknown architecture 'unknown'"),
        ({"model__options__width": 3}, "'unet' rejects its options.*width"),
        ({"model__precond": "unknown"}, "unknown preconditioning"),
        ({"init": "brain"}, "init: brain is another network.*of its card"),
        ({"init": "none.safetensors"}, "none.safetensors: no such prior"),
        ({"model__precond_options": {"a": 1}}, "'edm' rejects its options"),
    ],
)
def test_mistakes_are_found_before_anything_is_written(
    make_config, tiny_data, tmp_path, changes, message
):
    with pytest.raises(ValueError, match=message):
        run(make_config(**changes), tiny_data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_starts_from_the_weights_of_a_prior(make_config, tiny_data, tmp_path):
    file = run(make_config(weight_dtype="float32"), tiny_data, tmp_path / "first")
    config = make_config(init=str(file), seed=3, model__options__phase_width=2)
    begun = loop._Run(config, tmp_path / "next", Processes("cpu"))
    want = load_prior(file).model.state_dict()
    assert same(begun.net.state_dict(), want) and same(begun.ema.state_dict(), want)
    # A density has a network as well, but another one.
    with pytest.raises(ValueError, match="init: brain-pixelcnn is another network"):
        loop._Run(make_config(init="brain-pixelcnn"), tmp_path, Processes("cpu"))


def test_a_batch_that_cannot_be_shared(make_config, tmp_path, monkeypatch):
    procs = Processes("cpu")
    procs.size = 3
    with pytest.raises(ValueError, match="batch_size = 4 cannot be shared by 3"):
        loop._Run(make_config(), tmp_path, procs)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta:x"])
def test_a_device_that_is_not_there(make_config, tiny_data, tmp_path, device):
    with pytest.raises(ValueError, match=f"device '{device}' cannot be used: "):
        train(make_config(), tiny_data, tmp_path / "out", device=device)


def test_a_diverged_loss_stops_the_run(make_config, tiny_data, tmp_path):
    config = make_config(optim__lr_rest=1e30, checkpoint_every=1)
    with pytest.raises(ValueError, match="at step .*lower optim.lr"):
        run(config, tiny_data, tmp_path)
    assert all(t.isfinite().all() for k, t in state(tmp_path).items() if "net/" in k)


def test_gradients_are_clipped(make_config, tiny_data, tmp_path, monkeypatch):
    norms = []

    class Spy(torch.optim.SGD):
        def step(self):
            grads = [p.grad for p in self.param_groups[0]["params"]]
            norms.append(math.sqrt(sum(float(g.square().sum()) for g in grads)))

    def spied(net, config):
        opt = Spy(net.parameters(), lr=0.0)
        opt.param_groups[0]["peak_lr"] = 0.0
        return [opt]

    monkeypatch.setattr(loop, "make_optimizers", spied)
    run(make_config(optim__clip=1e6), tiny_data, tmp_path / "a")
    free = norms.copy()
    norms.clear()
    clip = float(np.median(free))
    run(make_config(optim__clip=clip), tiny_data, tmp_path / "b")
    np.testing.assert_allclose(norms, np.minimum(free, clip), rtol=1e-4)
    assert min(free) < clip < max(free)


def test_bfloat16_computes_in_it_and_keeps_float32_weights(
    make_config, tiny_data, tmp_path, losses, monkeypatch
):
    seen = set()
    build = objective.build_model

    def spied(*args):
        model = build(*args)
        model.net.head.register_forward_hook(lambda m, i, o: seen.add(o.dtype))
        return model

    monkeypatch.setattr(objective, "build_model", spied)
    run(make_config(data__val=[]), tiny_data, tmp_path / "a")
    assert seen == {torch.float32}
    config = make_config(optim__precision="bfloat16", data__val=[])
    run(config, tiny_data, tmp_path / "b")
    assert torch.bfloat16 in seen
    assert {t.dtype for k, t in state(tmp_path / "b").items()} == {torch.float32}
    a, b = (np.array(list(losses(tmp_path / k).values())) for k in "ab")
    assert (a != b).any()
    np.testing.assert_allclose(a, b, rtol=0.03)


def test_only_the_first_slices(make_config, tiny_data, tmp_path, losses, whole):
    run(make_config(data__slices=1), tiny_data, tmp_path / "one")
    run(make_config(data__slices=6), tiny_data, tmp_path / "all")
    meta = read_checkpoint(tmp_path / "one" / "checkpoint.safetensors")[0]
    assert meta["data"]["images"] == 1
    assert same(state(tmp_path / "all"), state(whole))


def test_random_layers_draw_from_the_step(
    make_config, tiny_data, tmp_path, monkeypatch
):
    """Dropout in a network must not make a continued run differ."""
    build = objective.build_model

    def noisy(*args):
        model = build(*args)
        model.net.head = torch.nn.Sequential(model.net.head, torch.nn.Dropout(0.3))
        return model

    monkeypatch.setattr(objective, "build_model", noisy)
    monkeypatch.setattr(loop, "write_prior", lambda *args: None)
    config = make_config(data__val=[])
    run(config, tiny_data, tmp_path / "whole")
    with monkeypatch.context() as mp:
        interrupt_at(mp, 7)
        with pytest.raises(KeyboardInterrupt):
            run(config, tiny_data, tmp_path / "cut")
    torch.manual_seed(123)
    run(config, tiny_data, tmp_path / "cut")
    assert same(state(tmp_path / "cut"), state(tmp_path / "whole"))


def test_the_bar_counts_images(make_config, tiny_data, tmp_path, monkeypatch, capsys):
    from sigpy_priors.train import progress

    class Shown(progress.tqdm):
        def __init__(self, *args, disable, **kwargs):
            assert disable is None  # shown on a terminal only
            super().__init__(*args, disable=False, **kwargs)

    monkeypatch.setattr(progress, "tqdm", Shown)
    train(make_config(), tiny_data, tmp_path, device="cpu", show_pbar=True)
    shown = capsys.readouterr().err
    assert "tiny: 100%" in shown and "48/48" in shown
    assert "img/s" in shown and "loss=" in shown and "PSNR=" in shown
