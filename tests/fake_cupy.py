"""A stand-in for cupy that holds its arrays in numpy's memory.

It is as strict as cupy: host and device arrays do not mix, and nothing is
converted implicitly. It counts what is moved between the two, what is launched and
how often the host waits, so that a test without a GPU sees what the real one would do.
"""

import types

import numpy as np


class Moves:
    """Arrays that crossed between host and device.

    Attributes:
        up (list of int): number of elements of each that went to the device.
        down (list of int): of each that came back.
        launches (int): calls of functions on the device.
        waits (int): times that the host asked for a value, and so waited for it.
    """

    def __init__(self):
        self.clear()

    def clear(self):
        """Count from zero."""
        self.up, self.down = [], []
        self.launches = self.waits = 0


moves = Moves()


def _unwrap(x):
    if isinstance(x, ndarray):
        return x._a
    if isinstance(x, np.ndarray) and x.ndim:
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(x, (list, tuple)):
        return type(x)(_unwrap(v) for v in x)
    if isinstance(x, dict):
        return {k: _unwrap(v) for k, v in x.items()}
    return x


def _wrap(x):
    # cupy's reductions stay on the device, as arrays without axes.
    if isinstance(x, (np.ndarray, np.generic)):
        return ndarray(np.asarray(x))
    if isinstance(x, (list, tuple)):
        return tuple(_wrap(v) for v in x)
    return x


def _on_device(function):
    def call(*args, **kwargs):
        moves.launches += 1
        return _wrap(function(*_unwrap(args), **_unwrap(kwargs)))

    return call


class ndarray(np.lib.mixins.NDArrayOperatorsMixin):
    """A device array; its memory can be seen through DLPack only."""

    def __init__(self, a):
        self._a = a

    device = property(lambda self: Device(0))

    def get(self):
        moves.down.append(self._a.size)
        moves.waits += 1
        return self._a.copy()

    def set(self, a):
        moves.up.append(a.size)
        self._a[...] = a

    def __array__(self, *args, **kwargs):
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        if out is not None:
            kwargs["out"] = out
        moves.launches += 1
        result = getattr(ufunc, method)(*_unwrap(inputs), **_unwrap(kwargs))
        return out[0] if out is not None else _wrap(result)

    def __array_function__(self, function, types, args, kwargs):
        return _on_device(function)(*args, **kwargs)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        value = getattr(self._a, name)
        return _on_device(value) if callable(value) else _wrap_view(value)

    def __getitem__(self, key):
        return _wrap(self._a[_unwrap(key)])

    def __setitem__(self, key, value):
        self._a[_unwrap(key)] = _unwrap(value)

    def __len__(self):
        return len(self._a)

    def __iter__(self):
        return (_wrap(v) for v in self._a)

    def __float__(self):
        moves.waits += 1
        return float(self._a)

    def __int__(self):
        moves.waits += 1
        return int(self._a)

    def __bool__(self):
        moves.waits += 1
        return bool(self._a)

    def __dlpack__(self, stream=None, **kwargs):
        return self._a.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self._a.__dlpack_device__()


def _wrap_view(value):
    return ndarray(value) if isinstance(value, np.ndarray) else value


class Device:
    """The only device, number 0."""

    def __init__(self, id):
        if id != 0:
            raise RuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        self.id = id

    def __enter__(self):
        return self

    def __exit__(self, *args):
        pass

    def __eq__(self, other):
        return self.id == getattr(other, "id", other)

    def __repr__(self):
        return f"<CUDA Device {self.id}>"


class _Module(types.ModuleType):
    """numpy, or a part of it, for device arrays."""

    def __init__(self, name, original):
        super().__init__(name)
        self._original = original

    def __getattr__(self, name):
        value = getattr(self._original, name)
        if isinstance(value, type) or not callable(value):
            return value  # dtypes and constants
        return _on_device(value)


def make():
    """The module, with nothing counted yet."""
    moves.clear()
    cp = _Module("cupy", np)
    for part in ("fft", "linalg", "random"):
        setattr(cp, part, _Module(f"cupy.{part}", getattr(np, part)))
    stream = types.SimpleNamespace(ptr=0)
    cp.cuda = types.SimpleNamespace(
        Device=Device, get_current_stream=lambda: stream, stream=stream
    )
    cp.ndarray, cp.moves = ndarray, moves
    cp.get_array_module = lambda *args: (
        cp if any(isinstance(a, ndarray) for a in args) else np
    )

    def asarray(a, dtype=None):
        if isinstance(a, ndarray):
            return a if dtype is None else a.astype(dtype, copy=False)
        if isinstance(a, np.ndarray) and a.ndim:
            moves.up.append(a.size)
        return ndarray(np.array(a, dtype))

    cp.asarray = cp.array = asarray
    cp.from_dlpack = lambda x: ndarray(np.from_dlpack(x))
    return cp
