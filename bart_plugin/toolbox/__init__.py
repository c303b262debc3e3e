"""BART itself: find one, build one with TensorFlow, run it, try what it can do."""

from bart_plugin.toolbox.builder import BuildError, build
from bart_plugin.toolbox.installer import install_pics, uninstall_pics
from bart_plugin.toolbox.program import VERSIONS, BartNotFound, cached, find, version_of

__all__ = [
    "VERSIONS",
    "BartNotFound",
    "BuildError",
    "build",
    "cached",
    "find",
    "install_pics",
    "uninstall_pics",
    "version_of",
]
