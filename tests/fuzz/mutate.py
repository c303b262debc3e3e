"""Damage to files, drawn from a seed: of any file, and of what its format declares."""

import io
import os
import random
import struct
import zipfile
from pathlib import Path

import numpy as np

from fuzz import mutate_priors
from fuzz.mutate_priors import HUGE


def mutant(kind, data, seed):
    """A damaged file.

    Args:
        kind (str): loader, whose ending says the format.
        data (bytes): the good file.
        seed (int): what is done to it.

    Returns:
        tuple: what was done, and the bytes; a callable in place of them writes a file.
    """
    rng = random.Random(f"{kind} {seed}")
    special = _SPECIAL.get(kind.partition(".")[2], ()) + _OF_LOADER.get(kind, ())
    if special and seed % 2:
        done = special[seed // 2 % len(special)]
    else:
        done = _ANY[seed // 2 % len(_ANY)]
    return done.__name__.strip("_"), done(data, rng)


# Of any file.


def _flip(data, rng):
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def _flip_head(data, rng):
    at = rng.randrange(min(len(data), 256))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def _flips(data, rng):
    for _ in range(20):
        data = _flip(data, rng)
    return data


def _truncate(data, rng):
    return data[: rng.randrange(len(data))]


def _zeros(data, rng):
    at = rng.randrange(len(data))
    return data[:at] + bytes(min(64, len(data) - at)) + data[at + 64 :]


def _noise_head(data, rng):
    n = min(len(data), 2048)
    at = rng.randrange(n)
    return data[:at] + rng.randbytes(min(8, n - at)) + data[at + min(8, n - at) :]


def _insert(data, rng):
    at = rng.randrange(len(data))
    return data[:at] + rng.randbytes(rng.randrange(1, 40)) + data[at:]


def _cut(data, rng):
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.randrange(1, 40) :]


def _big_number(data, rng):
    """Some size, wherever it is, becomes a large one."""
    at = 4 * rng.randrange(max(1, min(len(data), 4096) // 4 - 2))
    return data[:at] + struct.pack("<q", rng.choice(HUGE)) + data[at + 8 :]


def _noise(data, rng):
    return rng.randbytes(len(data))


def _nothing(data, rng):
    return b""


def _pipe(data, rng):
    def write(path):
        path.unlink(missing_ok=True)
        os.mkfifo(path)

    return write


def _circle(data, rng):
    def write(path):
        path.unlink(missing_ok=True)
        path.symlink_to(path.name)

    return write


def _folder(data, rng):
    return lambda path: path.mkdir()


_ANY = (
    _flip, _flip_head, _truncate, _zeros, _noise_head, _flips, _big_number, _insert,
    _flip_head, _cut, _flip, _noise, _noise_head, _nothing, _pipe, _circle, _folder,
)  # fmt: skip


# .npy and .npz


def _npy(shape, descr="'<c8'", data=b"\0" * 64, order=False):
    head = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"
    head += " " * (-(len(head) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + data


def _npy_shape(data, rng):
    sizes = [rng.choice((*HUGE, 4, 32, "True", "1.5", "'a'")) for _ in range(3)]
    return _npy(f"({', '.join(map(str, sizes))})", data=data[128:])


def _npy_type(data, rng):
    names = ("'|O'", "'<f16'", "'<c32'", "'<U4'", "'|V8'", "'|b1'", "'<M8[s]'", "7")
    names += ("[('a', '<f4')]", "'<x9'", "'<f2'", "'>c8'", "'<i8'", "'|S0'", "'<U0'")
    return _npy(
        "(4, 32, 32)", rng.choice(names), data[128:] + bytes(rng.randrange(200000))
    )


def _npy_values(data, rng):
    a = np.load(io.BytesIO(data)).copy()
    at = tuple(rng.randrange(n) for n in a.shape)
    if a.dtype.kind in "fc":
        a[at] = rng.choice((np.nan, np.inf, -np.inf, 3e38, 1e30))
    return _saved(a * rng.choice((1, 1, 0, 1e-20, 1e-30, 1e20)))


def _npy_other(data, rng):
    a = np.load(io.BytesIO(data))
    wide = np.clongdouble if a.dtype.kind == "c" else np.longdouble
    others = (a.astype(wide), a.T, a[..., :0], a[0], a[None, None], a.real.astype("f2"))
    others += (np.asfortranarray(a), a.astype(a.dtype.newbyteorder(">")), np.array(3.0))
    others += (a.astype("c16") if a.dtype.kind == "c" else a.astype("f8"),)
    return _saved(rng.choice(others))


def _saved(a):
    f = io.BytesIO()
    np.save(f, a)
    return f.getvalue()


def _as_zip(data, rng):
    f = io.BytesIO()
    np.savez(f, a=np.ones(3))
    return rng.choice((f.getvalue(), b"PK\x03\x04" + data, data + f.getvalue()))


def _npz_members(data, rng):
    arrays = dict(np.load(io.BytesIO(data)))
    name = rng.choice(sorted(arrays))
    a = arrays[name]
    changes = [lambda: arrays.pop(name)]
    if a.dtype.kind in "iufc":
        changes += [
            lambda: arrays.update({name: a.astype(complex) * np.nan}),
            lambda: arrays.update({name: np.stack([a, a])}),
            lambda: arrays.update({name: np.array(["x"])}),
            lambda: arrays.update({name: -a}),
            lambda: arrays.update({name: a.astype(np.longdouble)}),
        ]
    rng.choice(changes)()
    f = io.BytesIO()
    np.savez(f, **arrays)
    return f.getvalue()


def _npz_raw(data, rng):
    """Members that are no arrays, bombs, and names that leave the folder."""
    f = io.BytesIO()
    with zipfile.ZipFile(f, "w", zipfile.ZIP_DEFLATED) as z:
        names = zipfile.ZipFile(io.BytesIO(data)).namelist()
        content = rng.choice((
            b"", b"x", _npy("(100000, 100000)"), _npy("(8,)", "'|O'"),
            _npy("(20000000,)", "'|i1'", bytes(20_000_000)),
        ))  # fmt: skip
        for n in rng.choice((names, ["../../a.npy"], names + names, [])):
            z.writestr(n, content)
    return f.getvalue()


# HDF5


def _h5(change):
    def write(path):
        import h5py

        path.unlink(missing_ok=True)
        with h5py.File(path, "w") as f:
            change(f)

    return write


def _h5_bomb(data, rng):
    shape = rng.choice((
        (4, 32, 32), (2**20, 2**12, 2**12), (1, 4, 20000, 20000), (10**4, 10**4, 10**5)
    ))  # fmt: skip
    chunks = (1,) * (len(shape) - 2) + tuple(min(n, 2**12) for n in shape[-2:])
    gzip = rng.choice((None, "gzip"))
    return _h5(lambda f: f.create_dataset(
        "kspace", shape, "c8", chunks=chunks, compression=gzip))  # fmt: skip


def _h5_links(data, rng):
    import h5py

    def change(f):
        target = rng.choice(("kspace", "b", "pipe", "other", "absent"))
        if target == "pipe":
            pipe = Path(f.filename).with_name("pipe.h5")
            os.mkfifo(pipe) if not pipe.exists() else None
            f["kspace"] = h5py.ExternalLink(str(pipe), "kspace")
        elif target == "other":
            f["kspace"] = h5py.ExternalLink("/etc/passwd", "kspace")
        else:
            f["b"] = h5py.SoftLink("/kspace")
            f["kspace"] = h5py.SoftLink(f"/{target}")

    return _h5(change)


def _h5_elsewhere(data, rng):
    """Data of a dataset in another file, which is not the sender's."""
    import h5py

    def change(f):
        if rng.random() < 0.5:
            f.create_dataset(
                "kspace", (1, 4, 4), "c8", external=[("/etc/passwd", 0, 128)]
            )
        else:
            layout = h5py.VirtualLayout((4, 4, 4), "c8")
            layout[:] = h5py.VirtualSource("/etc/passwd", "a", (4, 4, 4))
            f.create_virtual_dataset("kspace", layout)

    return _h5(change)


def _h5_types(data, rng):
    import h5py

    things = (
        h5py.Empty("c8"), np.ones((4, 4)), np.ones((2, 0, 3), "c8"), np.array(b"text"),
        np.zeros((2, 4, 4), [("r", "f8"), ("i", "f8")]), np.ones((4, 4), "c8"),
        np.full((4, 32, 32), np.nan, "c8"), np.ones((1, 1, 1, 8, 8), "c8"),
    )  # fmt: skip
    value = rng.choice(things)
    return _h5(lambda f: f.__setitem__("kspace", value))


def _xml(data, rng):
    """A header with other sizes, as long as the one that was there."""
    at = data.find(b"<matrixSize>")
    end = data.find(b"</matrixSize>", at)
    sizes = b"<x>%s</x><y>%s</y><z>1</z>" % tuple(
        str(rng.choice((*HUGE, 24, 8000, 65535, "2.5", "x"))).encode() for _ in "xy"
    )
    inner = sizes[: end - at - 12].ljust(end - at - 12)
    return data[: at + 12] + inner + data[end:] if at > 0 else data[:-9]


# Text


def _yaml(data, rng):
    nine = "[x,x,x,x,x,x,x,x,x]"
    bomb = f"[&a0 {nine}" + "".join(
        f",&a{i} [{','.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)
    ) + "]"  # fmt: skip
    key = rng.choice(("name", "model", "notes", "data"))
    return rng.choice((
        f"{key}: {bomb}\n".encode() + data,
        data + f"{key}: {bomb}\n".encode(),
        b"x: " + b"[" * 5000 + b"]" * 5000,
        b"{a: " * 3000 + b"}" * 3000,
        b"a: &a [*a]\n", b"&a {b: *a}\n", b"!!python/object/apply:os.system [id]\n",
        data.replace(b"16", str(rng.choice(HUGE)).encode()),
        data.replace(b"[1, 1]", b"[1, .nan]"), data.replace(b"3", b"1e400"),
        data.replace(b"tiny", rng.choice((b"../x", b"null", b"1", b"[]"))),
        b"? [a]\n: b\n", b"\xef\xbb\xbf" + data, data.decode().encode("utf-16"),
        b"a: 2024-99-99\n", b"a: !!int x\n", b"<<: 7\n", b"a: !!binary '!'\n",
    ))  # fmt: skip


def _hdr(data, rng):
    dims = [
        str(rng.choice((*HUGE, 32, 4, "x", "1.5", 10**30)))
        for _ in range(rng.randrange(18))
    ]
    return ("# Dimensions\n" + " ".join(dims) + "\n").encode()


_SPECIAL = {
    "npy": (_npy_shape, _npy_type, _npy_values, _npy_other, _as_zip),
    "npz": (_npz_members, _npz_raw),
    "h5": (_h5_bomb, _h5_links, _h5_elsewhere, _h5_types),
    "onnx": (
        mutate_priors.onnx_graph,
        mutate_priors.onnx_card,
        mutate_priors.onnx_graph,
    ),
    "yaml": (_yaml,),
    "hdr": (_hdr,),
}
_OF_LOADER = {
    "prior.safetensors": (
        mutate_priors.card,
        mutate_priors.weights,
        mutate_priors.card,
    ),
    "ISMRMRD.h5": (_xml, _xml, _xml, _xml),
}
