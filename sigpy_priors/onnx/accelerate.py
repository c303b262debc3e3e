"""onnxruntime as the CPU backend of network priors.

Measured beside torch with channels last (``tests/benchmarks/backends.py``) it is
the faster of the two on CPUs. The network is exported once, which takes a
second, and kept in the cache by the digest of its weights; small networks are
not worth that. What onnxruntime cannot do, derivatives, traces and double
precision, torch does.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sigpy_priors.onnx.engine.runtime import is_plain, open_session, providers

__all__ = ["RuntimeDenoiser", "accelerate"]

# Of the cached files: raise it when an export computes something else than before.
GRAPH_FORMAT = 2
# Fewer weights than this are as well served by torch.
MIN_WEIGHTS = 1_000_000
_NEEDS = ("onnx", "onnxruntime")


def _worthwhile(prior):
    """Whether onnxruntime is here and the network large enough for it."""
    from importlib.util import find_spec

    return (
        prior.card is not None
        and prior.card.architecture != "onnx"
        and sum(p.numel() for p in prior.model.parameters()) >= MIN_WEIGHTS
        and all(find_spec(name) for name in _NEEDS)
    )


def _cached(prior):
    """The prior as an ONNX file in the cache, exported if it is not there."""
    from sigpy_priors.io.cache import cache
    from sigpy_priors.onnx.export import export_onnx

    card = prior.card
    key = hashlib.sha256(
        repr((card.weights_sha256, card.architecture, sorted(card.options.items()),
              card.precond, sorted(card.precond_options.items()),
              prior.sigma_range, torch.__version__, GRAPH_FORMAT)).encode()
    )  # fmt: skip
    path = cache() / "onnx" / f"{key.hexdigest()[:24]}.onnx"
    if not path.exists():
        print(
            f"sigpy-priors: preparing {card.name} for onnxruntime, once",
            file=sys.stderr,
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        export_onnx(prior, path)
    return path


def accelerate(prior: Any, model: Any) -> nn.Module:
    """The network of a prior on the CPU, through onnxruntime where it can.

    Args:
        prior (NetworkPrior): with a card.
        model (ChannelDenoiser): its network on the CPU in single precision.

    Returns:
        Module: called as ``model``; that itself if onnxruntime is not
        installed, the network too small for it, or the export fails.
    """
    if not _worthwhile(prior):
        return model
    try:
        return RuntimeDenoiser(model, _cached(prior))
    except Exception as e:
        print(
            f"sigpy-priors: {prior!r} runs in torch, onnxruntime cannot ({e})",
            file=sys.stderr,
        )
        return model


class RuntimeDenoiser(nn.Module):
    """A denoiser in torch and in onnxruntime, whichever may be used.

    Args:
        model (ChannelDenoiser): of the prior, on the CPU.
        path (Path): the same as :func:`sigpy_priors.onnx.export_onnx` writes it.
    """

    def __init__(self, model: Any, path: Path) -> None:
        super().__init__()
        self.model = model
        self._path = Path(path)
        self._sessions = {}

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_sessions": {}}

    def forward(self, x: Any, sigma: Any) -> Any:
        """Denoise (B, 2, H, W) at complex noise ``sigma`` (B,)."""
        if (
            x.device.type != "cpu"
            or x.dtype != torch.float32
            or not is_plain((x, sigma))
            or not (self._path.exists() and providers())
        ):
            return self.model(x, sigma)
        key = torch.get_num_threads(), os.getpid()
        if key not in self._sessions:
            self._sessions[key] = open_session(str(self._path), threads=key[0])
        feeds = {"x": x.contiguous().numpy(), "sigma": sigma.contiguous().numpy()}
        return torch.from_numpy(self._sessions[key].run(None, feeds)[0])
