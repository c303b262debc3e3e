"""The rules of the house: who may import whom, and what stands in one place only.

Each sentence of ``docs/design.md`` that says "only" is a row here; a rule that is not
tested is not written down.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("sigpy_priors", "bart_plugin")
FILES = sorted(f for p in PACKAGES for f in (ROOT / p).rglob("*.py"))

# From the ground to the roof: a room imports from lower floors, or its own floor
# where that is one room.
FLOORS = [
    ("backend",),
    ("io", "models", "linop"),
    ("priors", "alg"),
    ("scan",),
    ("posterior",),
    ("show",),
    ("data",),
    ("onnx",),
    ("load",),
    ("prox", "importers", "train"),
    ("app",),
    ("volume",),
    ("testing", "commands"),
    ("cli",),
    ("__main__",),
]
FLOOR = {room: i for i, floor in enumerate(FLOORS) for room in floor}


def room(module):
    """The room of a dotted name of sigpy_priors, or None for the face."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else None


def dotted(file):
    parts = list(file.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(file):
    """Modules of our own that a file imports, anywhere in it."""
    known = {dotted(f) for f in FILES}
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            base = node.module or ""
            names = [f"{base}.{a.name}" for a in node.names]
            names = [n if n in known else base for n in names]
        else:
            continue
        yield from (n for n in names if n.partition(".")[0] in PACKAGES)


@pytest.mark.parametrize("file", FILES, ids=dotted)
def test_a_room_imports_from_below(file):
    here = dotted(file)
    for module in imports(file):
        assert not (
            here.startswith("sigpy_priors") and module.startswith("bart_plugin")
        ), f"{here} imports {module}: the plugin stands on the roof"
        if not here.startswith("sigpy_priors") or room(here) in (None, room(module)):
            continue
        if room(module) is None:  # the face: its version
            continue
        assert FLOOR[room(module)] < FLOOR[room(here)], (
            f"{here} imports {module} above it"
        )


def test_there_is_no_import_circle():
    graph = {dotted(f): set(imports(f)) - {dotted(f)} for f in FILES}
    while graph:
        free = {m for m, needs in graph.items() if not needs & set(graph)}
        assert free, f"circle among {sorted(graph)}"
        graph = {m: needs for m, needs in graph.items() if m not in free}


def entries(folder):
    return [
        p.name
        for p in folder.iterdir()
        if p.name not in ("__pycache__", "py.typed") and p.suffix in ("", ".py")
    ]


def test_few_entries_at_the_door():
    assert len(entries(ROOT / "sigpy_priors")) <= 22
    assert len(entries(ROOT / "bart_plugin")) <= 12


@pytest.mark.parametrize("file", FILES, ids=dotted)
def test_files_are_short(file):
    assert len(file.read_text().splitlines()) <= 400


@pytest.mark.parametrize(
    "file", [f for f in FILES if f.name == "__init__.py"], ids=dotted
)
def test_a_folder_opens_with_a_sentence(file):
    text = ast.get_docstring(ast.parse(file.read_text()))
    assert text and text.splitlines()[0].endswith((".", ":"))


# A pattern, and the files that may have it.
ONLY_HERE = {
    "the square root of two between complex noise and a channel's": (
        r"sigma\w*\)? ?[*/] ?(2 ?\*\* ?0\.5|math\.sqrt\(2\))",
        ["sigpy_priors/priors/module.py"],
    ),
    "padding of a network's input": (
        r"mode=\"replicate\"|pad_to_multiple|clamp\(max=n - 1\)",
        ["sigpy_priors/priors/module.py"],
    ),
    "the 99.8th percentile": (
        r"percentile\(.*99\.8",
        ["sigpy_priors/scan/noise.py", "sigpy_priors/show/metrics.py"],
    ),
    "the PSNR": (r"log10\(mse|log10\(.*mse", ["sigpy_priors/show/metrics.py"]),
    "DLPack": (r"from_dlpack", ["sigpy_priors/backend/arrays.py"]),
    "the sampling mask of k-space": (
        r"def sampling_mask", ["sigpy_priors/scan/noise.py"],
    ),
    "conjugate gradients": (
        r"def conjugate_gradient|ConjugateGradient\(",
        ["sigpy_priors/scan/solve.py"],
    ),
    "torch.jit": (r"torch\.jit\.(trace|script|load)", ["bart_plugin/graph/", "sigpy_priors/importers/"]),
    "weights by pickle": (r"pickle\.load|weights_only=False", []),
    "atomic replacement": (r"os\.replace", ["sigpy_priors/io/", "bart_plugin/toolbox/"]),
}  # fmt: skip


@pytest.mark.parametrize("what", ONLY_HERE)
def test_only_here(what):
    pattern, allowed = ONLY_HERE[what]
    found = {
        str(f.relative_to(ROOT)) for f in FILES if re.search(pattern, f.read_text())
    }
    assert not {f for f in found if not f.startswith(tuple(allowed) or "/")}


def public_functions():
    for file in FILES:
        if "frameworks" in file.parts:  # scripts of another Python
            continue
        tree = ast.parse(file.read_text())
        scopes = [(tree, dotted(file))]
        scopes += [
            (n, f"{dotted(file)}.{n.name}")
            for n in tree.body
            if isinstance(n, ast.ClassDef) and not n.name.startswith("_")
        ]
        for scope, name in scopes:
            for node in scope.body:
                if isinstance(node, ast.FunctionDef) and (
                    not node.name.startswith("_") or node.name == "__init__"
                ):
                    yield f"{name}.{node.name}", node


@pytest.mark.parametrize(
    "node", [pytest.param(n, id=name) for name, n in public_functions()]
)
def test_public_functions_are_annotated(node):
    args = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    args += [a for a in (node.args.vararg, node.args.kwarg) if a]
    bare = [
        a.arg for a in args if a.annotation is None and a.arg not in ("self", "cls")
    ]
    assert not bare and node.returns is not None


def test_no_two_modules_of_one_name_in_a_package_tree():
    """A name says one thing; what may be the same has the same meaning."""
    same = {"__init__", "__main__", "export", "load", "recon"}
    names = [f.stem for f in FILES if "frameworks" not in f.parts]
    twice = {n for n in names if names.count(n) > 1} - same
    assert not twice, sorted(twice)


def test_modules_of_tests_have_names_of_their_own():
    """Pytest imports them without their folder."""
    names = [f.name for f in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names))
