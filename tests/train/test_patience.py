"""Runs that end where the slices kept aside no longer gain, and keep the best."""

import numpy as np
import pytest

from sigpy_priors.load import read_card
from sigpy_priors.train import loop
from sigpy_priors.train.datasets import open_training, open_validation
from sigpy_priors.train.loop import train


def run(config, data, out):
    return train(config, data, out, device="cpu", show_pbar=False)


@pytest.fixture
def judged(monkeypatch):
    """Function that fixes what the validations of the next run find."""

    def fix(scores):
        left = iter(scores)
        monkeypatch.setattr(
            loop.OBJECTIVES["denoiser"],
            "validate",
            lambda self, net, val: {"psnr/sigma=0.1": next(left)},
        )
        return left

    return fix


PATIENT = dict(data__val=[], data__aside=0.3, optim__patience=2, val_every=1)


def test_the_last_slices_of_each_pattern_are_kept_aside(make_config, tiny_data):
    data = make_config(data__val=[], data__aside=0.3).data
    trained, (kept, scales) = (
        open_training(data, tiny_data).images,
        open_validation(data, tiny_data),
    )
    whole = np.load(tiny_data / "train.npz")["img"]
    np.testing.assert_array_equal(trained, whole[:4])
    np.testing.assert_array_equal(kept, whole[4:])
    assert len(scales) == 2
    with pytest.raises(ValueError, match="0.9 of 6 slices leaves none to train on"):
        open_training(make_config(data__val=[], data__aside=0.9).data, tiny_data)
    with pytest.raises(ValueError, match="val, or aside, not both"):
        make_config(data__aside=0.3)
    with pytest.raises(ValueError, match="patience needs data.val or data.aside"):
        make_config(data__val=[], optim__patience=2)


def test_it_ends_after_the_best_and_keeps_that(
    make_config, tiny_data, tmp_path, judged
):
    left = judged([20.0, 21.0, 23.0, 22.0, 22.5, 99.0])
    card = read_card(run(make_config(**PATIENT), tiny_data, tmp_path))
    assert next(left) == 99.0  # four steps, five validations
    assert card.validation == {"denoising PSNR in dB by sigma": {"0.1": 23.0}}


def test_nothing_is_written_that_is_no_better(make_config, tiny_data, tmp_path, judged):
    judged([20.0, 19.0, 19.5])
    with pytest.raises(ValueError, match="no validation was better than the start"):
        run(make_config(**PATIENT), tiny_data, tmp_path)
    assert not list(tmp_path.glob("tiny*"))


def test_a_continued_run_remembers_its_best(
    make_config, tiny_data, tmp_path, judged, monkeypatch
):
    judged([20.0, 21.0, 23.0, 22.0, 22.5, 99.0])
    advance = loop._Run._advance

    def stop(self, *args):
        if self.step == 3:
            raise KeyboardInterrupt
        advance(self, *args)

    config = make_config(**PATIENT, checkpoint_every=1)
    with monkeypatch.context() as mp:
        mp.setattr(loop._Run, "_advance", stop)
        with pytest.raises(KeyboardInterrupt):
            run(config, tiny_data, tmp_path)
    card = read_card(run(config, tiny_data, tmp_path))
    assert card.validation["denoising PSNR in dB by sigma"] == {"0.1": 23.0}
