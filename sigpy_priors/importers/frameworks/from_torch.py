"""PyTorch to ONNX, in PyTorch's own Python: see :mod:`job`.

Four kinds of file: weights (.safetensors, .pt, .pth) of a network that a
builder makes, TorchScript, an ExportedProgram (.pt2), or a builder alone.
"""

import warnings
import zipfile

import job as jobs

SPEC = ["x:N,2,H,W", "sigma:N"]
# Where training scripts keep the weights beside other things.
_NESTED = ("state_dict", "model_state_dict", "model", "ema", "params", "net")


def _weights(path):
    import torch

    if path.endswith(".safetensors"):
        from safetensors.torch import load_file

        return load_file(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as e:
        raise jobs.Refused(
            f"{path} holds more than tensors, and reading that would run code from "
            f"the file; store model.state_dict() alone, best as .safetensors "
            f"({str(e).splitlines()[0]})"
        ) from e
    if not isinstance(state, dict):
        raise jobs.Refused(f"{path}: expected a state_dict, got {type(state).__name__}")
    nested = [k for k in _NESTED if isinstance(state.get(k), dict)]
    state = state[nested[0]] if nested else state
    return {k: v for k, v in state.items() if isinstance(v, torch.Tensor)}


def _built(job):
    """The network of a builder with the weights of the file, if there is one."""
    import torch

    model = jobs.build(job)
    if not isinstance(model, torch.nn.Module):
        raise jobs.Refused(
            f"builder {job['builder']}: expected a torch.nn.Module, "
            f"got {type(model).__name__}."
        )
    if job["model"]:
        state = _weights(job["model"])
        if state and all(k.startswith("module.") for k in state):
            state = {k[len("module.") :]: v for k, v in state.items()}
        try:
            model.load_state_dict(state)
        except RuntimeError as e:
            raise jobs.Refused(
                f"the weights do not fit the network of {job['builder']}: {e}"
            ) from e
    return model.eval()


def _program(path):
    """Network of an ExportedProgram, and its inputs by their own names."""
    import torch

    program = torch.export.load(path)
    nodes = {n.name: n for n in program.graph.nodes if n.op == "placeholder"}
    inputs = []
    for name in program.graph_signature.user_inputs:
        value = nodes[name].meta["val"]
        axes = [a if isinstance(a, int) else _axis(a.node.expr) for a in value.shape]
        inputs.append((name, axes, str(value.dtype).replace("torch.", "")))
    # Its graph is traced again: one loaded from a file loses what its sizes are.
    return program.module(), inputs


def _axis(expr):
    """A symbolic size as a term of a spec: s0 or 4*s0."""
    factor, rest = expr.as_coeff_Mul()
    return f"{int(factor)}*{rest}" if factor != 1 else str(rest)


def _dynamic(inputs):
    """Free sizes; what they must be multiples of, torch.export finds by itself."""
    from torch.export import Dim

    return tuple(
        {i: Dim.AUTO for i, a in enumerate(axes) if isinstance(a, str)}
        for _, axes, _ in inputs
    )


def _is_torchscript(path):
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(n.endswith("constants.pkl") for n in archive.namelist())


def export(model, inputs, job):
    """Write model.onnx and check.npz of a network; other scripts use it too."""
    import torch

    names = [name for name, _, _ in inputs]
    path = str(job["folder"] / "model.onnx")
    example = tuple(torch.from_numpy(a) for a in jobs.sample(inputs))
    options = {"input_names": names, "output_names": ["output"]}
    if isinstance(model, torch.jit.ScriptModule):
        # Only the exporter that traces takes TorchScript.
        axes = {
            n: {i: a for i, a in enumerate(shape) if isinstance(a, str)}
            for n, shape, _ in inputs
        }
        torch.onnx.export(
            model, example, path, dynamo=False, dynamic_axes=axes, **options
        )
    else:
        torch.onnx.export(
            model, example, dynamo=True, verbose=False,
            dynamic_shapes=_dynamic(inputs), **options,
        ).save(path)  # fmt: skip

    def reference(*arrays):
        with torch.no_grad():
            y = model(*(torch.from_numpy(a) for a in arrays))
        return [v.numpy() for v in (y if isinstance(y, (tuple, list)) else [y])]

    jobs.check(job, inputs, reference)


def convert(job):
    """Do one job."""
    import torch

    warnings.simplefilter("ignore")
    path = job["model"] or ""
    inputs = [jobs.parse(s) for s in job["spec"] or SPEC]
    if job["builder"]:
        model, kind = _built(job), "state_dict"
    elif path.endswith(".pt2"):
        (model, inputs), kind = _program(path), "torch.export"
    elif _is_torchscript(path):
        model, kind = torch.jit.load(path, map_location="cpu").eval(), "TorchScript"
    else:
        raise jobs.Refused(
            f"{path} holds weights, not the network they belong to: name what builds "
            f"it with --builder module:callable."
        )
    export(model, inputs, job)
    return {"framework": f"torch {torch.__version__} {kind}"}


if __name__ == "__main__":
    jobs.run(convert, "torch", "onnx", "onnxscript")
