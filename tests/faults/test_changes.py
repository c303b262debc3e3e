"""An unfinished run belongs to its data, its prior, its settings, and to one process."""

import json

import numpy as np
import pytest
from conftest import one_line
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from test_kills import RECON, SAMPLE, TRAIN

from sigpy_priors.priors.card import CARD, CARD_DIGEST, card_digest


def _array(name):
    def change(study):
        data = np.load(study / name)
        data[(0,) * data.ndim] *= 1.01
        np.save(study / name, data)

    return change


def _card(study):
    """The same weights, with another strength."""
    path = study / "p.safetensors"
    with safe_open(path, "np") as f:
        meta = f.metadata()
    card = json.loads(meta[CARD])
    card["strength"] = 0.5
    meta[CARD] = json.dumps(card)
    meta[CARD_DIGEST] = card_digest(meta[CARD])
    save_file(load_file(path), path, meta)


def _images(study):
    with np.load(study / "data" / "a.npz") as f:
        np.savez(study / "data" / "a.npz", img=f["img"] ** 2)


def _interrupt(zygote, study, line, there):
    run = zygote.start(line, study)
    assert run.until(lambda: list(study.glob(there)))
    assert run.kill()[0] == -9


SAMPLE_ = SAMPLE.format("out.npy")


@pytest.mark.parametrize(
    "line, change, word",
    [
        (RECON + "out.npy", _array("k.npy"), "kspace"),
        (RECON + "out.npy", _array("w.npy"), "weights"),
        (RECON + "out.npy", _card, "prior"),
        (RECON + "out.npy", " --lamda 2", "lamda"),
        (SAMPLE_, " --seed 3", "seed"),
        (SAMPLE_, _array("k.npy"), "kspace"),
    ],
)
def test_changed_inputs_are_refused(zygote, study, line, change, word):
    line += " --weights w.npy"
    _interrupt(zygote, study, line, "out.npy.part/0*.npy")
    if isinstance(change, str):
        line += change
    else:
        change(study)
    said = one_line(zygote.run(line, study))
    assert (
        f"unfinished run with other settings ({word} " in said and "--restart" in said
    )


def test_a_new_beginning(zygote, study):
    _interrupt(zygote, study, RECON + "out.npy", "out.npy.part/0*.npy")
    _array("k.npy")(study)
    assert zygote.run(RECON + "out.npy --restart", study)[0] == 0
    assert not (study / "out.npy.part").exists()


def test_training_on_other_images_is_refused(zygote, study):
    _interrupt(zygote, study, TRAIN + "out", "out/checkpoint.safetensors")
    _images(study)
    assert "the images of the data" in one_line(zygote.run(TRAIN + "out", study))


@pytest.mark.parametrize(
    "line, output", [(RECON + "{}", "out.npy"), (TRAIN + "{}", "out")]
)
def test_two_at_once(zygote, study, names, line, output):
    """One of them does it, the other says so; a third time nothing is left to mend."""
    runs = [zygote.start(line.format(output), study) for _ in range(2)]
    ends = [run.wait() for run in runs]
    good = [e for e in ends if e[0] == 0]
    assert good
    for end in ends:
        if end[0]:
            assert "another run is writing it" in one_line(end)
    whole = output.replace("out", "whole")
    assert zygote.run(line.format(whole), study)[0] == 0
    if output.endswith(".npy"):
        one, other = (np.load(study / name) for name in (output, whole))
        np.testing.assert_array_equal(one, other)
    left = {p.name for p in study.iterdir()} - names
    left -= {f".{n}.made.json" for n in left}  # what an output was made with
    assert all(n.startswith(("out", "whole")) and ".part" not in n for n in left), left
