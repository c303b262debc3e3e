"""Networks of PyTorch, TensorFlow, JAX and diffusers become plain ONNX files.

One script for each framework (``from_*.py``) runs in a process, and if wanted a
Python, of its own; ``job.py`` is what they share. What comes back is run by
onnxruntime beside the framework's own results before it is kept.
"""

from sigpy_priors.importers.conversion import (
    FRAMEWORKS,
    ConversionError,
    convert,
    detect,
)

__all__ = ["FRAMEWORKS", "ConversionError", "convert", "detect"]
