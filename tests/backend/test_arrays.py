"""Arrays that change kind keep values and, where they can, memory."""

import numpy as np
import torch

from sigpy_priors.backend import arrays


def test_numpy_shares_memory():
    x = np.zeros((2, 3), np.complex64)
    t = arrays.to_torch(x)
    t[0, 0] = 1
    assert x[0, 0] == 1
    assert arrays.from_torch(t, x).base is not None or arrays.from_torch(t, x) is x


def test_read_only_and_reversed_arrays():
    x = np.arange(6.0).reshape(2, 3).astype(complex)
    x.flags.writeable = False
    np.testing.assert_array_equal(arrays.to_torch(x).numpy(), x)
    np.testing.assert_array_equal(arrays.to_torch(x[::-1]).numpy(), x[::-1])


def test_channels_round_trip():
    x = torch.randn(3, 4, 5, dtype=torch.complex64)
    c = arrays.to_channels(x)
    assert c.shape == (3, 2, 4, 5)
    torch.testing.assert_close(c[:, 0], x.real)
    torch.testing.assert_close(c[:, 1], x.imag)
    torch.testing.assert_close(arrays.from_channels(c), x)


def test_channels_of_a_conjugate_view():
    x = torch.randn(1, 4, 5, dtype=torch.complex64)
    torch.testing.assert_close(arrays.to_channels(x.conj())[:, 1], -x.imag)


class FakeCupy:
    """Stands for a device array: the code path of cupy, without a GPU."""

    def __init__(self, tensor):
        self.tensor = tensor

    def __dlpack__(self, **kwargs):
        return self.tensor.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self.tensor.__dlpack_device__()


def test_device_arrays_go_through_dlpack(monkeypatch):
    source = torch.arange(4.0)
    other = object()
    monkeypatch.setattr(arrays.sp, "get_device", lambda x: other)
    t = arrays.to_torch(FakeCupy(source))
    assert t.data_ptr() == source.data_ptr()  # no copy
