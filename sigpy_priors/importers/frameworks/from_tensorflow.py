"""TensorFlow to ONNX by tf2onnx, in TensorFlow's own Python: see :mod:`job`.

Four kinds of model: a SavedModel, a Keras 3 file, a TensorFlow 1 checkpoint
with its .meta (as the package spreco writes, with a .map of tensor names), and a
frozen graph (.pb) with BART's names input_0, output_0, grad_0. Each becomes a
graph of constants, which is converted, and run for the comparison.
"""

import os
from pathlib import Path

import job as jobs

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

OPSET = 17
# Nodes from which on it takes a minute to move transposes to where they cancel;
# onnxruntime does so itself.
LARGE = 1000

# First parts of BART's names.
_ROLES = ("input", "output", "grad")

# Each reader returns a graph of constants and two mappings, of inputs and
# outputs: name in the ONNX file -> tensor in the graph.


def _saved_model(job):
    import tensorflow as tf

    model = tf.saved_model.load(job["model"])  # its variables live as long as it
    signatures = model.signatures
    if not signatures:
        raise jobs.Refused(
            f"{job['model']} has no signature: save it with "
            f"tf.saved_model.save(model, path, signatures=...)."
        )
    name = "serving_default" if "serving_default" in signatures else min(signatures)
    return _function(signatures[name])


def _keras(job):
    import keras
    import tensorflow as tf

    built = jobs.build(job) if job["builder"] else None
    if job["model"].endswith(".weights.h5"):
        if built is None:
            raise jobs.Refused(
                f"{job['model']} holds weights only: name what builds the network "
                f"with --builder module:callable."
            )
        built.load_weights(job["model"])
        model = built
    else:
        try:
            model = keras.saving.load_model(job["model"], compile=False)
        except TypeError as e:
            raise jobs.Refused(
                f"{job['model']}: {str(e).splitlines()[0]}\nIf it has layers of your "
                f"own, register them with keras.saving.register_keras_serializable "
                f"in a module and name it with --builder module:callable."
            ) from e
    specs = [
        tf.TensorSpec(v.shape, v.dtype, name=v.name.split(":")[0]) for v in model.inputs
    ]
    call = tf.function(lambda *a: model(a[0] if len(a) == 1 else list(a)))
    return _function(call.get_concrete_function(*specs))


def _function(function):
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    frozen = convert_variables_to_constants_v2(function)
    inputs = {t.name.split(":")[0]: t.name for t in frozen.inputs}
    outputs = {f"output_{i}": t.name for i, t in enumerate(frozen.outputs)}
    return frozen.graph.as_graph_def(), inputs, outputs


def _map(path):
    """Tensors by BART's names, as in the .map file that spreco writes."""
    if not path.exists():
        return {}
    lines = [s.split() for s in path.read_text().splitlines()[2:]]
    return {s[0]: f"{s[1]}:{s[2]}" for s in lines if len(s) >= 3}


def _tensors(job, graph, names):
    """Inputs and outputs of a TensorFlow 1 graph: told, or by BART's names.

    Args:
        job (dict): "tensors" may be "a,b->c".
        graph (GraphDef): the graph.
        names (dict): BART's names -> tensors.
    """
    nodes = {n.name for n in graph.node}
    if job["tensors"]:
        told = [side.split(",") for side in job["tensors"].split("->")]
        if len(told) != 2:
            raise jobs.Refused(
                f"tensors {job['tensors']!r}: expected input,...->output,..."
            )
        inputs, outputs = ({_plain(t): _tensor(t) for t in s} for s in told)
    else:
        names = {n: f"{n}:0" for n in nodes if n.split("_")[0] in _ROLES} | names
        inputs = {n: names[n] for n in sorted(names) if n.startswith("input_")}
        outputs = {n: names[n] for n in sorted(names) if n[:4] in ("outp", "grad")}
        outputs = {n: t for n, t in outputs.items() if not n.startswith("grad_ys")}
        # The same gradient has a second name in files for two versions of BART.
        if "grad_0" in outputs and "grad_0_0" in outputs:
            del outputs["grad_0_0"]
    missing = {t.split(":")[0] for t in (inputs | outputs).values()} - nodes
    if not inputs or not outputs or missing:
        placeholders = [n.name for n in graph.node if n.op == "Placeholder"]
        raise jobs.Refused(
            f"{job['model']}: no tensors {', '.join(sorted(missing)) or 'input_0'}; "
            f"say which they are with --tensors 'input,...->output'. Its placeholders "
            f"are {', '.join(placeholders[:8]) or 'none'}."
        )
    return inputs, outputs


def _tensor(name):
    return name if ":" in name else f"{name}:0"


def _plain(name):
    return name.strip().split(":")[0].replace("/", "_")


def _checkpoint(job):
    import tensorflow.compat.v1 as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_from_session_graph as freeze,
    )

    path = Path(job["model"])
    if path.is_dir():
        metas = sorted(path.glob("*.meta"))
        if len(metas) != 1:
            raise jobs.Refused(
                f"{path} has {len(metas)} .meta files; give one of them: "
                f"{', '.join(m.name for m in metas)}"
            )
        path = metas[0]
    path = path.with_name(path.name.removesuffix(".meta").removesuffix(".index"))
    graph = tf.Graph()
    with graph.as_default(), tf.Session(graph=graph) as session:
        saver = tf.train.import_meta_graph(f"{path}.meta", clear_devices=True)
        saver.restore(session, str(path))
        whole = graph.as_graph_def()
        inputs, outputs = _tensors(job, whole, _map(Path(f"{path}.map")))
        ends = sorted({t.split(":")[0] for t in outputs.values()})
        return freeze(session, whole, ends), inputs, outputs


def _frozen(job):
    import tensorflow.compat.v1 as tf

    graph = tf.GraphDef()
    try:
        graph.ParseFromString(Path(job["model"]).read_bytes())
    except Exception as e:
        raise jobs.Refused(f"{job['model']} is no TensorFlow graph: {e}") from e
    variables = [n.name for n in graph.node if n.op in ("VariableV2", "VarHandleOp")]
    if variables:
        raise jobs.Refused(
            f"{job['model']} keeps state in variables ({', '.join(variables[:3])}), "
            f"its weights are not in the file: give the .meta of its checkpoint."
        )
    names = _map(Path(job["model"]).with_suffix(".map"))
    inputs, outputs = _tensors(job, graph, names)
    return graph, inputs, outputs


# tf2onnx does not know these; each is a few operators of ONNX.


def _replace(formula):
    """A handler for tf2onnx that puts a formula in place of a node."""

    def handler(ctx, node, name, args):
        from tf2onnx import utils

        shape, inputs, output = (
            ctx.get_shape(node.output[0]),
            node.input,
            node.output[0],
        )

        def op(kind, *inputs, **attr):
            """Numbers among the inputs become constants of the others' type."""
            (dtype, *_) = [ctx.get_dtype(i) for i in inputs if isinstance(i, str)]
            number = utils.map_onnx_to_numpy_type(dtype)
            inputs = [
                i if isinstance(i, str)
                else ctx.make_const(utils.make_name(name), number(i)).output[0]
                for i in inputs
            ]  # fmt: skip
            dtype = attr.get("to", dtype)
            made = ctx.make_node(
                kind, inputs, attr=attr, shapes=[shape], dtypes=[dtype]
            )
            return made.output[0]

        ctx.replace_all_inputs(output, formula(op, *inputs))
        ctx.remove_node(node.name)

    return handler, []


def _elu_grad(op, dy, y):
    # d elu = 1 where y > 0, else exp(x) = y + 1.
    return op("Mul", dy, op("Add", op("Min", y, 0), 1))


def _in_double(formula):
    """Near 0 single precision would lose digits, and embeddings of noise levels
    magnify the last one: sde2 of spreco by a hundred."""

    def through(op, x):
        return op("Cast", formula(op, op("Cast", x, to=_DOUBLE)), to=_FLOAT)

    return through


_FLOAT, _DOUBLE = 1, 11  # ONNX's numbers for them
_HANDLERS = {
    "Expm1": _in_double(lambda op, x: op("Sub", op("Exp", x), 1)),
    "Log1p": _in_double(lambda op, x: op("Log", op("Add", x, 1))),
    "EluGrad": _elu_grad,
    "SigmoidGrad": lambda op, y, dy: op("Mul", dy, op("Mul", y, op("Sub", 1, y))),
    "TanhGrad": lambda op, y, dy: op("Mul", dy, op("Sub", 1, op("Mul", y, y))),
    "SoftplusGrad": lambda op, dy, x: op("Mul", dy, op("Sigmoid", x)),
    "RsqrtGrad": lambda op, y, dy: op(
        "Mul", op("Mul", dy, -0.5), op("Mul", y, op("Mul", y, y))
    ),
}


def _known_shapes(definition):
    """The graph with constants where it asks for shapes that are known.

    TensorFlow writes gradients with such questions, which have no ONNX.
    """
    import numpy as np
    import tensorflow.compat.v1 as tf
    from tensorflow.python.framework import tensor_util

    with tf.Graph().as_default() as graph:
        tf.import_graph_def(definition, name="")
    known, constants = {}, []
    for op in graph.get_operations():
        if op.type not in ("Shape", "ShapeN"):
            continue
        for i, t in enumerate(op.inputs):
            if t.shape.is_fully_defined():
                dtype = op.outputs[i].dtype.as_numpy_dtype
                value = np.array(t.shape.as_list(), dtype)
                node = tf.NodeDef(name=f"{op.name}/known_{i}", op="Const")
                node.attr["dtype"].type = op.outputs[i].dtype.as_datatype_enum
                node.attr["value"].tensor.CopyFrom(tensor_util.make_tensor_proto(value))
                constants.append(node)
                known[f"{op.name}:{i}"] = node.name
                if i == 0:
                    known[op.name] = node.name
    for node in definition.node:
        node.input[:] = [known.get(name, name) for name in node.input]
    definition.node.extend(constants)
    return definition


def _to_onnx(graph, inputs, outputs, job):
    import onnx
    import tensorflow.compat.v1 as tf
    from tf2onnx import optimizer
    from tf2onnx.tf_loader import tf_optimize
    from tf2onnx.tfonnx import process_tf_graph

    sides = [list(d.values()) for d in (inputs, outputs)]
    with tf.Graph().as_default():
        graph = tf_optimize(*sides, _known_shapes(graph))
    with tf.Graph().as_default() as pruned:
        tf.import_graph_def(graph, name="")
        converted = process_tf_graph(
            pruned, opset=OPSET, input_names=sides[0], output_names=sides[1],
            custom_op_handlers={k: _replace(f) for k, f in _HANDLERS.items()},
            tensors_to_rename={t: n for n, t in (inputs | outputs).items()},
        )  # fmt: skip
        # All but the search for twins, which takes minutes on thousands of nodes.
        wanted = {
            "constants": optimizer.ConstFoldOptimizer,
            "reshape": optimizer.ReshapeOptimizer,
            "identity": optimizer.IdentityOptimizer,
            "back to back": optimizer.BackToBackOptimizer,
        }
        if len(converted.get_nodes()) < LARGE:
            wanted["transpose"] = optimizer.TransposeOptimizer
        converted = optimizer.optimize_graph(converted, optimizers=wanted)
    model = converted.make_model("imported")
    used = {n.op_type for n in model.graph.node if not n.domain}
    if unknown := sorted(op for op in used if not onnx.defs.has(op)):
        raise jobs.Refused(
            f"{job['model']}: tf2onnx has nothing for {', '.join(unknown)}; if they "
            f"belong to a gradient, leave it out with --tensors 'input,...->output'."
        )
    (job["folder"] / "model.onnx").write_bytes(model.SerializeToString())


def _placeholders(graph, inputs):
    """Name, axes and dtype of each input, free sizes as letters."""
    letters = ["N", "H", "W", "C"]
    found = []
    for name, tensor in inputs.items():
        t = graph.get_tensor_by_name(tensor)
        if t.shape.rank is None:
            raise jobs.Refused(f"input {name} has no known number of axes.")
        axes = [
            d if d is not None else (letters + [f"D{i}"])[min(i, 4)]
            for i, d in enumerate(t.shape.as_list())
        ]
        found.append((name, axes, t.dtype.name))
    return found


def convert(job):
    """Do one job."""
    import tensorflow.compat.v1 as tf

    path = Path(job["model"])
    if (path / "saved_model.pb").exists():
        read, kind = _saved_model, "SavedModel"
    elif path.suffix in (".keras", ".h5"):
        read, kind = _keras, "Keras"
    elif path.suffix == ".pb" and not path.with_suffix(".meta").exists():
        read, kind = _frozen, "frozen graph"
    else:
        read, kind = _checkpoint, "checkpoint"
        if path.suffix == ".pb":
            job["model"] = str(path.with_suffix(".meta"))
    definition, inputs, outputs = read(job)
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(definition, name="")
    _to_onnx(definition, inputs, outputs, job)

    def reference(*arrays):
        with tf.Session(graph=graph) as session:
            feeds = dict(zip(inputs.values(), arrays))
            return session.run(list(outputs.values()), feeds)

    jobs.check(job, _placeholders(graph, inputs), reference)
    return {"framework": f"tensorflow {tf.__version__} {kind}"}


if __name__ == "__main__":
    jobs.run(convert, "tensorflow", "tf2onnx", "onnx")
