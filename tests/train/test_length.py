"""A time limit in place of steps: the clock, the schedule, and what is written in time."""

import time
from types import SimpleNamespace

import pytest

from sigpy_priors.load import load_prior, read_card
from sigpy_priors.train import length, loop
from sigpy_priors.train.checkpoint import read_checkpoint
from sigpy_priors.train.config import OptimConfig
from sigpy_priors.train.distributed import Processes
from sigpy_priors.train.length import Length
from sigpy_priors.train.loop import train


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when a test says so."""
    now = SimpleNamespace(at=100.0)
    monkeypatch.setattr(length, "time", SimpleNamespace(monotonic=lambda: now.at))
    return now


def test_steps_need_no_clock(clock):
    run = Length(OptimConfig(steps=40), Processes("cpu"), 100.0, 0.0)
    assert not run.timed
    assert [run.done(s) for s in (0, 10, 40)] == [0, 0.25, 1]


def test_the_end_leaves_time_for_what_was_rehearsed(clock):
    run = Length(OptimConfig(minutes=2), Processes("cpu"), 100.0, 20.0)
    run.rehearsed(10.0)
    done, parts = 0.0, []
    while done < 1:
        clock.at += 0.5
        done = run.done(len(parts))
        parts.append(done)
    assert parts == sorted(parts) and parts[0] < 0.25
    assert parts[50] == pytest.approx((20 + 25.5) / (120 - 17), rel=0.01)
    # The limit is 120 s, earlier parts included: 15 are kept for writing.
    assert 95 < run.seconds < 120 - 15


def test_a_slow_step_is_kept_in_mind_and_forgotten(clock):
    run = Length(OptimConfig(minutes=10), Processes("cpu"), 100.0, 0.0)
    run.done(0)
    clock.at += 60  # a GPU's first step
    slow = run.done(1)
    assert slow > 60 / (600 - 1) * 1.2
    for step in range(200):
        clock.at += 0.1
        run.done(step)
    assert run.done(0) == pytest.approx(80 / 599, rel=0.01)


def test_a_run_by_the_clock_is_whole_before_its_limit(
    make_config, tiny_data, tmp_path, monkeypatch, losses
):
    rates = []
    cosine = loop.cosine
    monkeypatch.setattr(
        loop, "cosine", lambda *args: rates.append(cosine(*args)) or rates[-1]
    )
    config = make_config(
        optim__minutes=4 / 60, optim__steps=1, data__crop=[8, 16], checkpoint_every=20
    )
    begun = time.monotonic()
    file = train(config, tiny_data, tmp_path, device="cpu", show_pbar=False)
    assert time.monotonic() - begun < 4
    meta, _ = read_checkpoint(tmp_path / "checkpoint.safetensors")
    assert 10 < meta["step"] == len(rates) == max(losses(tmp_path))
    # It goes by the time that reading the data took, too.
    assert max(rates) > 0.2 and rates[-1] < 0.5 * max(rates)
    card = read_card(file)
    assert card.validation and load_prior(file).card == card


def test_a_prior_is_there_from_the_first_checkpoint_on(
    make_config, tiny_data, tmp_path, monkeypatch
):
    def stop(self, *args):
        if self.step == 7:
            raise KeyboardInterrupt
        advance(self, *args)

    advance = loop._Run._advance
    monkeypatch.setattr(loop._Run, "_advance", stop)
    with pytest.raises(KeyboardInterrupt, match="from step 5 of 12"):
        train(make_config(), tiny_data, tmp_path, device="cpu", show_pbar=False)
    _, state = read_checkpoint(tmp_path / "checkpoint.safetensors")
    prior = load_prior(tmp_path / "tiny.safetensors", runtime="torch")
    for key, value in prior.model.state_dict().items():
        assert (value == state[f"ema/{key}"].half().float()).all()
