"""Sphinx: ``make docs`` builds the site into build/docs, and warnings are errors."""

import contextlib
import sys
import warnings
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the tree that the pages are of, not what is installed

import sigpy_priors  # noqa: E402

# Its import switches all warnings of Python on: here, of what Sphinx's extensions have to
# change for the next Sphinx.
with contextlib.suppress(ImportError):
    import ismrmrd.image  # noqa: F401
warnings.filterwarnings("ignore", category=PendingDeprecationWarning)

project = "sigpy-priors"
author = "sigpy-priors developers"
copyright = f"2026, {author}"  # noqa: A001 - Sphinx's name
version = release = sigpy_priors.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
html_theme = "furo"
html_title = f"sigpy-priors {release}"

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4

autosummary_generate = True
autosummary_imported_members = False
autosummary_ignore_module_all = False
autodoc_typehints = "none"  # the docstrings state types, with shapes and units
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# Written into the sources' folder by the extensions, and ignored by git.
exclude_patterns = ["gallery/*.py", "gallery/*.ipynb", "gallery/*.md5"]

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    # tests/test_examples.py runs them all.
    "plot_gallery": False,
    "download_all_examples": False,
    "show_signature": False,
    "show_memory": False,
    "write_computation_times": False,
    "min_reported_time": float("inf"),
    "remove_config_comments": True,
}
