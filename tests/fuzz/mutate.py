"""Damage to files, drawn from a seed: of any file, and of what its format declares."""

import io
import json
import os
import random
import struct
import zipfile

import numpy as np

HUGE = (-1, 0, 1, 2**31 - 1, 2**31, 2**40, 2**63 - 1)


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
    return _npy("(4, 32, 32)", rng.choice(names), data[128:] + bytes(rng.randrange(200000)))


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
            os.mkfifo("pipe.h5") if not os.path.exists("pipe.h5") else None
            f["kspace"] = h5py.ExternalLink("pipe.h5", "kspace")
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


# Priors


def _tensors(data, rng, card=None, weights=None):
    from safetensors import safe_open
    from safetensors.torch import save

    def write(path):
        path.write_bytes(data)
        with safe_open(path, "pt") as f:
            meta, tensors = f.metadata(), {k: f.get_tensor(k) for k in f.keys()}
        if weights:
            tensors = weights(tensors)
        fields = json.loads(meta["sigpy_priors.card"])
        for key, value in (card or {}).items():
            fields[key] = value
        if weights and rng.random() < 0.7:
            from sigpy_priors.priors.file import _digest

            fields["weights_sha256"] = _digest(tensors)
        meta["sigpy_priors.card"] = json.dumps(fields)
        meta.pop("sigpy_priors.card_sha256")  # as if it was made so
        path.write_bytes(save(tensors, meta))

    return write


def _options(rng):
    return {
        "channels": rng.choice(([4, 8], [8000, 8000], [10**9, 8], [-4, 8], [], "ab", [4.5, 8])),
        "blocks": rng.choice(([1, 1], [10**9, 1], [0, 0], [-1, 1], [1])),
        "emb_channels": rng.choice((8, 10**9, 0, -1, "x", None)),
        **rng.choice(({}, {"phase_width": 1e9}, {"patch": 10**6}, {"patch": 0}, {"a": 1})),
    }  # fmt: skip


def _card(data, rng):
    card = rng.choice((
        {"options": _options(rng)}, {"options": _options(rng)}, {"options": _options(rng)},
        {"precond": rng.choice(("vp", "score", "diffusion", "x"))},
        {"precond": "diffusion", "precond_options": {"schedule": rng.choice(
            ("linear:1e12", "vp:nan", "cosine:-1", {"betas": [2, 3]}, {"x": 1}, 7))}},
        {"precond_options": {"sigma_data": rng.choice((0, -1, "x", float("nan")))}},
        {"sigma_range": rng.choice(([0, 1], [1e-300, 1e300], [1, None], "x"))},
        {"architecture": rng.choice(("pixelcnn", "onnx", "os:system", ""))},
        {"strength": rng.choice((0, -1, float("inf"), "x"))},
        {"kind": "density"}, {"version": 2**70}, {"name": "a\nb"},
    ))  # fmt: skip
    return _tensors(data, rng, card)


def _weights(data, rng):
    import torch

    value = rng.choice((float("nan"), float("inf"), 3e38, 1e20, 1e15, 0.0))
    return _tensors(data, rng, None, rng.choice((
        lambda t: {k: torch.full_like(v, value) for k, v in t.items()},
        lambda t: {k: v.double() for k, v in t.items()},
        lambda t: {k: v.int() for k, v in t.items()},
        lambda t: {k: v[None] for k, v in t.items()},
        lambda t: dict(list(t.items())[1:]),
    )))  # fmt: skip


def _onnx_graph(data, rng):
    import onnx
    from onnx import helper

    model = onnx.load_from_string(data)
    graph = model.graph
    kept = [p for p in model.metadata_props if not p.key.endswith("sha256")]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    node = rng.choice(graph.node)
    what = rng.randrange(10)
    if what == 0:
        graph.node.remove(node)
    elif what == 1 and node.input:
        node.input[rng.randrange(len(node.input))] = rng.choice((node.output[0], "no", ""))
    elif what == 2:
        size = helper.make_tensor("s", 7, [1], [rng.choice((*HUGE, 9 * 10**8))])
        graph.initializer.append(size)
        graph.node.insert(0, helper.make_node("ConstantOfShape", ["s"], ["t"]))
    elif what == 3:
        node.op_type = rng.choice(("Nothing", "Add", "Loop", "If", "Conv", "Relu"))
    elif what == 4:
        del graph.output[:]
    elif what == 5:
        model.opset_import[0].version = rng.choice((-1, 0, 1, 5, 2**31 - 1))
    elif what == 6 and node.attribute:
        a = rng.choice(node.attribute)
        a.i, a.f = rng.choice(HUGE), 1e30
        a.ints[:] = [rng.choice(HUGE) for _ in a.ints]
    elif what == 7:
        t = rng.choice(graph.initializer)
        t.data_type = rng.choice((0, 1, 7, 8, 10, 99))
    elif what == 8:
        t = rng.choice(graph.initializer)
        t.dims[:] = [rng.choice(HUGE) for _ in t.dims]
    else:
        dims = graph.input[0].type.tensor_type.shape.dim
        rng.choice(dims).dim_value = rng.choice(HUGE)
    return model.SerializeToString()


def _onnx_card(data, rng):
    import onnx

    model = onnx.load_from_string(data)
    change = rng.choice((
        ("options", {"inputs": 7}), ("options", {}), ("options", {"inputs": ["x"]}),
        ("options", {"inputs": ["x", "sigma"], "stride": rng.choice((0, -1, 10**6, "a"))}),
        ("options", {"inputs": ["x", "sigma"], "scale": rng.choice((None, [0, 1], "x"))}),
        ("options", {"inputs": ["x", "sigma"], "channels": rng.choice(("mag", "complex", 7))}),
        ("options", {"inputs": ["x", "sigma"], "output": rng.choice(("no", 7))}),
        ("options", {"inputs": ["x", "sigma"], "layout": "NHWC"}),
        ("precond", rng.choice(("edm", "vp", "x", None))),
        ("architecture", "unet"), ("kind", "density"), ("sigma_range", [1, 0]),
    ))  # fmt: skip
    for p in list(model.metadata_props):
        if p.key == "sigpy_priors.card":
            p.value = json.dumps(json.loads(p.value) | dict([change]))
        elif p.key.endswith("card_sha256"):
            model.metadata_props.remove(p)
    return model.SerializeToString()


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
    dims = [str(rng.choice((*HUGE, 32, 4, "x", "1.5", 10**30))) for _ in range(rng.randrange(18))]
    return ("# Dimensions\n" + " ".join(dims) + "\n").encode()


_SPECIAL = {
    "npy": (_npy_shape, _npy_type, _npy_values, _npy_other, _as_zip),
    "npz": (_npz_members, _npz_raw),
    "h5": (_h5_bomb, _h5_links, _h5_elsewhere, _h5_types),
    "onnx": (_onnx_graph, _onnx_card, _onnx_graph),
    "yaml": (_yaml,),
    "hdr": (_hdr,),
}
_OF_LOADER = {
    "prior.safetensors": (_card, _weights, _card),
    "ISMRMRD.h5": (_xml, _xml, _xml, _xml),
}
