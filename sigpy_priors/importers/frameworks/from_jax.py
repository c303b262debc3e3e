"""JAX and Flax to ONNX by jax2onnx, in JAX's own Python: see :mod:`job`.

JAX has no file of a whole model: a builder "module:callable" makes it, as a
function (x, sigma) -> y, a Flax NNX module, a Flax linen module or any other
callable. Weights come from the builder itself, or from a file: .msgpack of Flax,
.safetensors with names joined by dots or slashes, or a folder of Orbax.
"""

import re

import job as jobs

SPEC = ["x:N,H,W,2", "sigma:N"]


def _tree(path):
    """Nested mapping of arrays in a file of weights."""
    if path.endswith(".msgpack"):
        from flax.serialization import msgpack_restore

        with open(path, "rb") as f:
            return msgpack_restore(f.read())
    if path.endswith(".safetensors"):
        from safetensors.numpy import load_file

        tree = {}
        for name, value in load_file(path).items():
            *parents, last = re.split(r"[./]", name)
            node = tree
            for key in parents:
                node = node.setdefault(key, {})
            node[last] = value
        return tree
    import orbax.checkpoint as ocp

    return ocp.StandardCheckpointer().restore(path)


def _numbered(tree):
    """Keys that count things are numbers in NNX."""
    if not isinstance(tree, dict):
        return tree
    return {int(k) if str(k).isdigit() else k: _numbered(v) for k, v in tree.items()}


def _function(job):
    """The function of arrays that is to be traced."""
    model = jobs.build(job)
    if not job["model"]:
        return model
    tree = _tree(job["model"])
    from flax import linen, nnx

    if isinstance(model, linen.Module):
        variables = tree if "params" in tree else {"params": tree}
        return lambda *args: model.apply(variables, *args)
    if isinstance(model, nnx.Module):
        graph, state = nnx.split(model)
        nnx.replace_by_pure_dict(state, _numbered(tree))
        return nnx.merge(graph, state)
    if callable(model):
        return lambda *args: model(tree, *args)
    raise jobs.Refused(
        f"builder {job['builder']}: expected a Flax module or a function of "
        f"(weights, x, sigma), got {type(model).__name__}."
    )


def convert(job):
    """Do one job."""
    import jax
    import jax.numpy as jnp
    import onnx
    from jax2onnx import to_onnx

    if not job["builder"]:
        raise jobs.Refused(
            f"{job['model']} holds weights, not the network they belong to: name what "
            f"builds it with --builder module:callable."
        )
    function = _function(job)
    if not callable(function):
        raise jobs.Refused(f"builder {job['builder']}: its result cannot be called.")
    asked = [jobs.parse(s) for s in job["spec"] or SPEC]
    for name, _, dtype in asked:
        if dtype != "float32":
            raise jobs.Refused(f"input {name}: {dtype} is not supported, use float32.")
    problem = None
    # Symbolic sizes of a network with strides must be known to be multiples.
    for factor in (1, 2, 4, 8, 16, 32):
        inputs = jobs.multiples(asked, factor)
        if problem and inputs == asked:
            break
        try:
            model = to_onnx(
                function, [tuple(axes) for _, axes, _ in inputs],
                input_names=[name for name, _, _ in inputs], opset=21,
            )  # fmt: skip
            break
        except (TypeError, ValueError) as e:
            problem, model = e, None
    if model is None:
        raise problem
    onnx.save(model, str(job["folder"] / "model.onnx"))

    def reference(*arrays):
        y = function(*map(jnp.asarray, arrays))
        return y if isinstance(y, (tuple, list)) else [y]

    jobs.check(job, inputs, reference)
    return {"framework": f"jax {jax.__version__}"}


if __name__ == "__main__":
    jobs.run(convert, "jax", "jax2onnx", "onnx")
