"""Checkpoints: everything comes back, nothing half-written is ever seen."""

import os

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from sigpy_priors.io.atomic import remove_leftovers, write_atomic
from sigpy_priors.train.checkpoint import (
    read_checkpoint,
    restore_checkpoint,
    save_checkpoint,
)


def trained(seed):
    """A network in channels-last format and optimisers with some history."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Conv2d(4, 2, 3))
    net = net.to(memory_format=torch.channels_last)
    opts = [
        torch.optim.AdamW(net[0].parameters()),
        torch.optim.SGD(net[1].parameters(), lr=0.1, momentum=0.9),
    ]
    for _ in range(3):
        net(torch.randn(1, 2, 8, 8)).square().sum().backward()
        for opt in opts:
            opt.step()
    return net, opts


@pytest.fixture
def saved(tmp_path):
    net, opts = trained(0)
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, {"net": net}, opts, {"step": 7})
    return path, net, opts


def test_round_trip_is_exact_and_keeps_memory_formats(saved):
    path, net, opts = saved
    other, other_opts = trained(1)
    meta, tensors = read_checkpoint(path)
    restore_checkpoint(path, tensors, {"net": other}, other_opts)
    assert meta == {"step": 7}
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters()))
    for a, b in zip(opts, other_opts):
        for (p, s), (q, t) in zip(a.state.items(), b.state.items()):
            assert s.keys() == t.keys()
            for key in s:
                assert torch.equal(s[key], t[key])
                assert s[key].stride() == t[key].stride()


@pytest.mark.parametrize("where", [0.0, 0.1, 0.5, 0.99])
def test_one_flipped_bit_is_noticed(saved, where):
    path, _, _ = saved
    raw = bytearray(path.read_bytes())
    raw[int(where * len(raw))] ^= 4
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=f"^{path}.*delete it to start anew"):
        read_checkpoint(path)


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_truncated_file_is_noticed(saved, keep):
    path, _, _ = saved
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="not a readable checkpoint"):
        read_checkpoint(path)


def test_a_file_of_something_else(tmp_path):
    path = tmp_path / "c.safetensors"
    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match="holds no training state"):
        read_checkpoint(path)


def test_another_network(saved):
    path, _, _ = saved
    _, tensors = read_checkpoint(path)
    with pytest.raises(ValueError, match=f"{path}: checkpoint of another network"):
        restore_checkpoint(path, tensors, {"net": nn.Conv2d(2, 2, 3)}, [])


def test_a_failed_write_leaves_the_old_file_and_no_other(saved):
    path, _, _ = saved
    before = path.read_bytes()

    def fail(tmp):
        tmp.write_bytes(b"half of it")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomic(path, fail)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_files_have_the_users_permissions(saved):
    path, _, _ = saved
    plain = path.with_name("plain")
    plain.touch()
    assert path.stat().st_mode == plain.stat().st_mode


def test_leftovers_of_killed_processes_are_removed(saved):
    path, _, _ = saved
    (path.parent / f".{path.name}.{os.getpid()}.tmp").touch()
    (path.parent / ".other.1.tmp").touch()
    remove_leftovers(path)
    assert sorted(p.name for p in path.parent.iterdir()) == [".other.1.tmp", path.name]
