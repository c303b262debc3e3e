"""ONNX out and in: priors for any runtime, and any network as a prior.

``export.py`` writes files (``gradient.py`` the derivative of a density), ``load.py``
makes priors of them. A file runs in onnxruntime or, where derivatives, double precision
or a trace for BART are wanted, node by node in torch (``engine/``). ``adapter.py`` goes
between a network's conventions and ours.
"""

from sigpy_priors.onnx.export import export_onnx
from sigpy_priors.onnx.load import load_onnx

__all__ = ["export_onnx", "load_onnx"]
