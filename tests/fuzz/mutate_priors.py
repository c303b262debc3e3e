"""Damage to priors: cards, weights and graphs that are written as if they were meant."""

import json

HUGE = (-1, 0, 1, 2**31 - 1, 2**31, 2**40, 2**63 - 1)


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
            from sigpy_priors.priors.saving import weights_digest

            fields["weights_sha256"] = weights_digest(tensors)
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


def card(data, rng):
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


def weights(data, rng):
    import torch

    value = rng.choice((float("nan"), float("inf"), 3e38, 1e20, 1e15, 0.0))
    return _tensors(data, rng, None, rng.choice((
        lambda t: {k: torch.full_like(v, value) for k, v in t.items()},
        lambda t: {k: v.double() for k, v in t.items()},
        lambda t: {k: v.int() for k, v in t.items()},
        lambda t: {k: v[None] for k, v in t.items()},
        lambda t: dict(list(t.items())[1:]),
    )))  # fmt: skip


def onnx_graph(data, rng):
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
        node.input[rng.randrange(len(node.input))] = rng.choice(
            (node.output[0], "no", "")
        )
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


def onnx_card(data, rng):
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
